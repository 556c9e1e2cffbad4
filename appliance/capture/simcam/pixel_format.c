#include "pixel_format.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t code, bytes;
} formats[] = {
    {"Mono8", PIXEL_MONO8, 1},
    {"Mono16", PIXEL_MONO16, 2},
    {"RGB8", PIXEL_RGB8, 3},
    {"BayerRG8", PIXEL_BAYER_RG8, 1},
};

uint32_t pixel_format_named(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            return formats[i].code;
        }
    }
    return 0;
}

uint32_t pixel_bytes(uint32_t pixel_format) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].code == pixel_format) {
            return formats[i].bytes;
        }
    }
    return 0;
}

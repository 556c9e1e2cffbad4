/* The pixel formats the camera offers, by their PFNC codes. */
#ifndef SIMCAM_PIXEL_FORMAT_H
#define SIMCAM_PIXEL_FORMAT_H

#include <stdint.h>

enum {
    PIXEL_MONO8 = 0x01080001,
    PIXEL_MONO16 = 0x01100007,
    PIXEL_RGB8 = 0x02180014,
    PIXEL_BAYER_RG8 = 0x01080009,
};

/* 0 for a name or code the camera doesn't offer. */
uint32_t pixel_format_named(const char *name);
uint32_t pixel_bytes(uint32_t pixel_format);

#endif

/* From a source image to the camera's pixels: region, format, brightness, and the looks a fault gives. */
#ifndef SIMCAM_RENDER_H
#define SIMCAM_RENDER_H

#include <stddef.h>
#include <stdint.h>

enum look { LOOK_SCENE, LOOK_BLACK, LOOK_SATURATED };

struct picture {
    const uint8_t *source;
    uint32_t source_width, source_channels;
    uint32_t x, y, width, height, pixel_format;
    double factor; /* brightness; at exactly 1 the pixels are the source's */
    enum look look;
    uint32_t blur_radius;
    uint32_t rows_written; /* the rest of `out` is left alone */
    uint32_t rows_lit;     /* rows from here to rows_written are zero */
};

struct renderer {
    double factor;
    uint8_t table8[256];
    uint16_t table16[256];
    uint8_t *scratch;
    size_t scratch_bytes;
};

void render(struct renderer *renderer, const struct picture *picture, uint8_t *out);
void renderer_free(struct renderer *renderer);

#endif

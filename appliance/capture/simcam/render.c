#include "render.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pixel_format.h"

/* Full scale to full scale: white stays white in 16 bits. */
enum { SCALE_8_TO_16 = 257 };

static void fit_tables(struct renderer *renderer, double factor) {
    if (renderer->factor == factor) {
        return;
    }
    for (int i = 0; i < 256; i++) {
        renderer->table8[i] = (uint8_t)fmin(255, floor(i * factor + 0.5));
        renderer->table16[i] = (uint16_t)fmin(65535, floor(i * SCALE_8_TO_16 * factor + 0.5));
    }
    renderer->factor = factor;
}

/* BT.601 luma in integers, weights of 256. */
static inline uint8_t grey_of(const uint8_t *rgb) {
    return (uint8_t)((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2] + 128) >> 8);
}

/* One row to 8-bit samples of one channel: as it is, luma, or the colour under the Bayer filter. */
static void sample_row(const struct picture *picture, const uint8_t *row, uint32_t y, uint8_t *out) {
    if (picture->source_channels == 1) {
        memcpy(out, row, picture->width);
        return;
    }
    bool is_bayer = picture->pixel_format == PIXEL_BAYER_RG8;
    for (uint32_t x = 0; x < picture->width; x++) {
        out[x] = is_bayer ? row[3 * x + (x & 1) + (y & 1)] : grey_of(row + 3 * x);
    }
}

static void write_row8(const struct renderer *renderer, const struct picture *picture, const uint8_t *row,
                       uint32_t y, uint8_t *out) {
    sample_row(picture, row, y, out);
    if (picture->factor != 1) {
        for (uint32_t x = 0; x < picture->width; x++) {
            out[x] = renderer->table8[out[x]];
        }
    }
}

static void write_row16(const struct renderer *renderer, const struct picture *picture, const uint8_t *row,
                        uint32_t y, uint8_t *out) {
    uint8_t *samples = out + picture->width; /* the upper half: read at x before 2x + 1 > width + x overwrites it */
    sample_row(picture, row, y, samples);
    for (uint32_t x = 0; x < picture->width; x++) {
        uint16_t value = renderer->table16[samples[x]];
        out[2 * x] = (uint8_t)value;
        out[2 * x + 1] = (uint8_t)(value >> 8);
    }
}

static void write_row_rgb(const struct renderer *renderer, const struct picture *picture, const uint8_t *row,
                          uint8_t *out) {
    uint32_t samples = 3 * picture->width;
    if (picture->source_channels == 1) {
        for (uint32_t x = 0; x < picture->width; x++) {
            out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = renderer->table8[row[x]];
        }
        return;
    }
    memcpy(out, row, samples);
    if (picture->factor != 1) {
        for (uint32_t i = 0; i < samples; i++) {
            out[i] = renderer->table8[out[i]];
        }
    }
}

static size_t clamp_index(long index, size_t count) {
    return index < 0 ? 0 : (size_t)index >= count ? count - 1 : (size_t)index;
}

/* Box filter along one line of `count` samples, `step` bytes apart; edges repeat. */
static void blur_line(const uint8_t *in, uint8_t *out, size_t count, size_t step, long radius) {
    uint32_t sum = 0;
    uint32_t taps = (uint32_t)(2 * radius + 1);
    for (long i = -radius; i <= radius; i++) {
        sum += in[clamp_index(i, count) * step];
    }
    for (size_t i = 0; i < count; i++) {
        out[i * step] = (uint8_t)((sum + taps / 2) / taps);
        sum += in[clamp_index((long)i + radius + 1, count) * step];
        sum -= in[clamp_index((long)i - radius, count) * step];
    }
}

/* The region of interest blurred into scratch memory; NULL when there is no memory. */
static const uint8_t *blurred(struct renderer *renderer, const struct picture *picture) {
    size_t channels = picture->source_channels;
    size_t row_bytes = picture->width * channels;
    size_t image_bytes = row_bytes * picture->height;
    if (renderer->scratch_bytes < 2 * image_bytes) {
        free(renderer->scratch);
        renderer->scratch = malloc(2 * image_bytes);
        renderer->scratch_bytes = renderer->scratch == NULL ? 0 : 2 * image_bytes;
        if (renderer->scratch == NULL) {
            return NULL;
        }
    }
    uint8_t *across = renderer->scratch + image_bytes;
    for (size_t y = 0; y < picture->height; y++) {
        const uint8_t *row = picture->source + ((picture->y + y) * picture->source_width + picture->x) * channels;
        for (size_t channel = 0; channel < channels; channel++) {
            blur_line(row + channel, across + y * row_bytes + channel, picture->width, channels, picture->blur_radius);
        }
    }
    for (size_t column = 0; column < row_bytes; column++) {
        blur_line(across + column, renderer->scratch + column, picture->height, row_bytes, picture->blur_radius);
    }
    return renderer->scratch;
}

/* True where every output byte is a source byte in the same place: then one copy does. */
static bool is_plain_copy(const struct picture *picture, size_t stride) {
    bool is_same_layout = picture->source_channels == 1 ? pixel_bytes(picture->pixel_format) == 1
                                                        : picture->pixel_format == PIXEL_RGB8;
    return picture->factor == 1 && is_same_layout && stride == (size_t)picture->width * picture->source_channels;
}

void render(struct renderer *renderer, const struct picture *picture, uint8_t *out) {
    size_t row_bytes = (size_t)picture->width * pixel_bytes(picture->pixel_format);
    if (picture->look != LOOK_SCENE) {
        memset(out, picture->look == LOOK_BLACK ? 0 : 0xFF, row_bytes * picture->rows_written);
        return;
    }
    fit_tables(renderer, picture->factor);
    size_t stride = (size_t)picture->source_width * picture->source_channels;
    const uint8_t *first = picture->source + picture->y * stride + (size_t)picture->x * picture->source_channels;
    const uint8_t *soft = picture->blur_radius > 0 ? blurred(renderer, picture) : NULL;
    if (soft != NULL) {
        first = soft;
        stride = (size_t)picture->width * picture->source_channels;
    }
    uint32_t rows = picture->rows_lit < picture->rows_written ? picture->rows_lit : picture->rows_written;
    memset(out + row_bytes * rows, 0, row_bytes * (picture->rows_written - rows));
    if (is_plain_copy(picture, stride)) {
        memcpy(out, first, row_bytes * rows);
        return;
    }
    for (uint32_t y = 0; y < rows; y++, out += row_bytes) {
        const uint8_t *row = first + y * stride;
        if (picture->pixel_format == PIXEL_RGB8) {
            write_row_rgb(renderer, picture, row, out);
        } else if (picture->pixel_format == PIXEL_MONO16) {
            write_row16(renderer, picture, row, y, out);
        } else {
            write_row8(renderer, picture, row, y, out);
        }
    }
}

void renderer_free(struct renderer *renderer) {
    free(renderer->scratch);
    memset(renderer, 0, sizeof *renderer);
}

/* The pack: every image to replay in one read-only mapping. Written by pack.py.
 *
 *   offset  type      content
 *        0  char[8]   "SIMPACK1"
 *        8  uint32    width_px
 *       12  uint32    height_px
 *       16  uint32    channels: 1 grey, 3 RGB interleaved; 8 bits each
 *       20  uint32    0
 *       24  uint64    count of images, at least 1
 *       32  uint64    stride_bytes from one image to the next, a multiple of 64
 *       40  uint64    first_offset of image 0, 4096
 *       48  uint64    names_offset: file names in UTF-8, one a line, in replay order; not read here
 *       56  uint64    names_bytes
 */
#ifndef SIMCAM_PACK_H
#define SIMCAM_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pack {
    uint8_t *mapping;
    size_t mapping_bytes;
    const uint8_t *first;
    size_t stride;
    uint64_t count;
    uint32_t width, height, channels;
};

/* False with one line in `problem`. */
bool pack_open(struct pack *pack, const char *path, char *problem, size_t problem_bytes);
void pack_close(struct pack *pack);

static inline const uint8_t *pack_image(const struct pack *pack, uint64_t index) {
    return pack->first + (index % pack->count) * pack->stride;
}

#endif

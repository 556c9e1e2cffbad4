/* Chunk data: values the camera appends behind the image.
 *
 *   image, zero-padded to 8 bytes | tag | value, 8 bytes | tag | value, 8 bytes | tag | ...
 *
 * A tag closes the chunk before it: uint32 chunk id, uint32 length, both little-endian like every value. So a buffer
 * can be parsed from its end. Values come in the order of `enum chunk`, only the enabled ones.
 */
#ifndef SIMCAM_CHUNK_H
#define SIMCAM_CHUNK_H

#include <stddef.h>
#include <stdint.h>

enum chunk { CHUNK_FRAME_ID, CHUNK_TIMESTAMP, CHUNK_EXPOSURE_TIME, CHUNK_COUNTER_VALUE, CHUNK_ENCODER_VALUE, CHUNK_LINE_STATUS_ALL, CHUNKS };
enum { CHUNK_ID_IMAGE = 0x1000, CHUNK_ID_FIRST = 0x1001 };

struct chunk_values {
    uint64_t frame_id, timestamp_ns;
    double exposure_time_us;
    uint64_t counter_value, encoder_value, line_status_all;
};

/* One chunk's place in a buffer. */
struct chunk_place {
    uint32_t id;
    size_t offset, length;
};

/* Bytes of a payload with the chunks of `mask` (bit i: enum chunk i) behind `image_bytes` of image. */
size_t chunk_payload_bytes(size_t image_bytes, uint32_t mask);

/* All chunks of such a payload, the image first; returns how many, at most CHUNKS + 1. */
size_t chunk_places(size_t image_bytes, uint32_t mask, struct chunk_place places[CHUNKS + 1]);

/* Write padding, tags and values behind the image. */
void chunk_write(uint8_t *payload, size_t image_bytes, uint32_t mask, const struct chunk_values *values);

#endif

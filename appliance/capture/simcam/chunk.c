#include "chunk.h"

#include <string.h>

enum { TAG_BYTES = 8, VALUE_BYTES = 8 };

static size_t padded(size_t image_bytes) {
    return (image_bytes + 7) & ~(size_t)7;
}

size_t chunk_places(size_t image_bytes, uint32_t mask, struct chunk_place places[CHUNKS + 1]) {
    size_t count = 0;
    places[count++] = (struct chunk_place){CHUNK_ID_IMAGE, 0, padded(image_bytes)};
    size_t offset = padded(image_bytes) + TAG_BYTES;
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        if (mask & (1u << chunk)) {
            places[count++] = (struct chunk_place){CHUNK_ID_FIRST + chunk, offset, VALUE_BYTES};
            offset += VALUE_BYTES + TAG_BYTES;
        }
    }
    return count;
}

size_t chunk_payload_bytes(size_t image_bytes, uint32_t mask) {
    struct chunk_place places[CHUNKS + 1];
    const struct chunk_place *last = &places[chunk_places(image_bytes, mask, places) - 1];
    return last->offset + last->length + TAG_BYTES;
}

static void write_value(uint8_t *out, uint32_t id, const struct chunk_values *values) {
    const void *const fields[CHUNKS] = {
        [CHUNK_FRAME_ID] = &values->frame_id,
        [CHUNK_TIMESTAMP] = &values->timestamp_ns,
        [CHUNK_EXPOSURE_TIME] = &values->exposure_time_us,
        [CHUNK_COUNTER_VALUE] = &values->counter_value,
        [CHUNK_ENCODER_VALUE] = &values->encoder_value,
        [CHUNK_LINE_STATUS_ALL] = &values->line_status_all,
    };
    memcpy(out, fields[id - CHUNK_ID_FIRST], VALUE_BYTES);
}

void chunk_write(uint8_t *payload, size_t image_bytes, uint32_t mask, const struct chunk_values *values) {
    struct chunk_place places[CHUNKS + 1];
    size_t count = chunk_places(image_bytes, mask, places);
    memset(payload + image_bytes, 0, padded(image_bytes) - image_bytes);
    for (size_t i = 0; i < count; i++) {
        uint32_t tag[2] = {places[i].id, (uint32_t)places[i].length};
        if (places[i].id != CHUNK_ID_IMAGE) {
            write_value(payload + places[i].offset, places[i].id, values);
        }
        memcpy(payload + places[i].offset + places[i].length, tag, sizeof tag);
    }
}

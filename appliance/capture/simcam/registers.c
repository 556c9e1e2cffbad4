#include "registers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "line.h"
#include "pixel_format.h"

enum { TEXT_BYTES = 64 };
enum { ACQUISITION_CONTINUOUS, ACQUISITION_SINGLE_FRAME, ACQUISITION_MULTI_FRAME };

/* How a register behaves. LOCKED ones refuse writes while TLParamsLocked is set, as nodes.xml says by pIsLocked. */
enum access { READ_ONLY, READ_WRITE, LOCKED, COMMAND };

/* Every register: address, size, access and, where it is a plain feature, its place and limits in struct features. */
#define FEATURE(field) offsetof(struct features, field)
#define COMPUTED SIZE_MAX

static const struct register_entry {
    uint64_t address;
    size_t size;
    enum access access;
    size_t feature;
    double least, most;
} registers[] = {
    {0x1000, TEXT_BYTES, READ_ONLY, COMPUTED, 0, 0},  /* DeviceVendorName */
    {0x1040, TEXT_BYTES, READ_ONLY, COMPUTED, 0, 0},  /* DeviceModelName */
    {0x1080, TEXT_BYTES, READ_ONLY, COMPUTED, 0, 0},  /* DeviceSerialNumber */
    {0x10C0, 128, READ_ONLY, COMPUTED, 0, 0},         /* DeviceID */
    {0x1140, TEXT_BYTES, READ_ONLY, COMPUTED, 0, 0},  /* DeviceVersion */
    {0x1180, TEXT_BYTES, READ_WRITE, FEATURE(user_id), 0, 0}, /* DeviceUserID */
    {0x2000, 4, COMMAND, COMPUTED, 1, 1},             /* DeviceReset */
    {0x2004, 4, COMMAND, COMPUTED, 1, 1},             /* TimestampLatch */
    {0x2008, 8, READ_ONLY, FEATURE(latched_timestamp_ns), 0, 0},
    {0x2010, 8, READ_ONLY, COMPUTED, 0, 0},           /* DeviceTemperature */
    {0x2100, 4, READ_ONLY, COMPUTED, 0, 0},           /* SensorWidth */
    {0x2104, 4, READ_ONLY, COMPUTED, 0, 0},           /* SensorHeight */
    {0x2108, 4, READ_ONLY, COMPUTED, 0, 0},           /* increment of Width and OffsetX */
    {0x210C, 4, READ_ONLY, COMPUTED, 0, 0},           /* increment of Height and OffsetY */
    {0x2110, 4, LOCKED, FEATURE(width), 1, 32768},
    {0x2114, 4, LOCKED, FEATURE(height), 1, 32768},
    {0x2118, 4, LOCKED, FEATURE(offset_x), 0, 32768},
    {0x211C, 4, LOCKED, FEATURE(offset_y), 0, 32768},
    {0x2120, 4, LOCKED, FEATURE(pixel_format), 0, UINT32_MAX},
    {0x2124, 4, READ_ONLY, COMPUTED, 0, 0},           /* PayloadSize */
    {0x2200, 4, LOCKED, FEATURE(acquisition_mode), ACQUISITION_CONTINUOUS, ACQUISITION_MULTI_FRAME},
    {0x2204, 4, LOCKED, FEATURE(acquisition_frame_count), 1, 65535},
    {0x2208, 4, COMMAND, COMPUTED, 1, 1},             /* AcquisitionStart */
    {0x220C, 4, COMMAND, COMPUTED, 1, 1},             /* AcquisitionStop */
    {0x2210, 4, READ_WRITE, FEATURE(is_rate_enabled), 0, 1},
    {0x2218, 8, READ_WRITE, FEATURE(frame_rate_hz), 0.01, 10000},
    {0x2220, 8, READ_ONLY, COMPUTED, 0, 0},           /* the most AcquisitionFrameRate can be */
    {0x2228, 8, READ_WRITE, FEATURE(exposure_time_us), 1, 1e7},
    {0x2230, 8, READ_WRITE, FEATURE(gain_db), 0, 24},
    {0x2300, 4, LOCKED, FEATURE(is_trigger_on), 0, 1},
    {0x2304, 4, LOCKED, FEATURE(trigger_source), 0, 1},
    {0x2308, 4, LOCKED, FEATURE(trigger_activation), 0, 1},
    {0x230C, 4, COMMAND, COMPUTED, 1, 1},             /* TriggerSoftware */
    {0x2310, 8, READ_WRITE, FEATURE(trigger_delay_us), 0, 1e6},
    {0x2400, 4, READ_ONLY, COMPUTED, 0, 0},           /* LineStatus of Line0 */
    {0x2404, 4, READ_ONLY, COMPUTED, 0, 0},           /* LineStatusAll */
    {0x2408, 8, READ_ONLY, COMPUTED, 0, 0},           /* CounterValue */
    {0x2410, 8, READ_ONLY, COMPUTED, 0, 0},           /* EncoderValue */
    {0x2500, 4, LOCKED, FEATURE(is_chunk_mode_active), 0, 1},
    {0x2504, 4, READ_WRITE, FEATURE(chunk_selector), 0, CHUNKS - 1},
    {0x2508, 4, LOCKED, COMPUTED, 0, 1},              /* ChunkEnable of the selected chunk */
    {0x2600, 4, COMMAND, COMPUTED, 1, 1},             /* UserSetLoad */
    {0x2604, 4, READ_WRITE, FEATURE(is_tl_params_locked), 0, 1},
    {0x2608, 4, READ_WRITE, FEATURE(zero), 0, 0},     /* selectors that have one entry only */
};

static const struct register_entry *find(uint64_t address, size_t size) {
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++) {
        uint64_t offset = address - registers[i].address;
        if (address >= registers[i].address && offset < registers[i].size && size <= registers[i].size - offset) {
            return &registers[i];
        }
    }
    return NULL;
}

static uint32_t increment_of(uint32_t side) {
    return side % 4 == 0 ? 4 : side % 2 == 0 ? 2 : 1;
}

size_t features_image_bytes(const struct camera *camera) {
    const struct features *features = &camera->state->features;
    return (size_t)features->width * features->height * pixel_bytes(features->pixel_format);
}

size_t features_payload_bytes(const struct camera *camera) {
    const struct features *features = &camera->state->features;
    size_t image_bytes = features_image_bytes(camera);
    return features->is_chunk_mode_active ? chunk_payload_bytes(image_bytes, features->chunk_mask) : image_bytes;
}

void features_reset(struct camera *camera) {
    char user_id[TEXT_BYTES];
    memcpy(user_id, camera->state->features.user_id, TEXT_BYTES); /* survives a power cycle in real cameras too */
    camera->state->features = (struct features){
        .width = camera->pack.width,
        .height = camera->pack.height,
        .pixel_format = camera->settings.pixel_format,
        .acquisition_frame_count = 1,
        .is_rate_enabled = 1,
        .frame_rate_hz = camera->settings.frame_rate_hz,
        .exposure_time_us = camera->settings.exposure_time_us,
    };
    memcpy(camera->state->features.user_id, user_id, TEXT_BYTES);
}

static bool fits_sensor(const struct camera *camera, const struct features *features) {
    uint32_t across = increment_of(camera->pack.width), down = increment_of(camera->pack.height);
    return features->width > 0 && features->width <= camera->pack.width &&
           features->offset_x <= camera->pack.width - features->width && features->height > 0 &&
           features->height <= camera->pack.height && features->offset_y <= camera->pack.height - features->height &&
           features->width % across == 0 && features->offset_x % across == 0 && features->height % down == 0 &&
           features->offset_y % down == 0 && pixel_bytes(features->pixel_format) != 0;
}

static bool is_within(const struct register_entry *entry, const void *value) {
    double number = 0;
    if (entry->feature == COMPUTED || entry->access == READ_ONLY || entry->size == TEXT_BYTES) {
        return true;
    }
    if (entry->size == 8) {
        memcpy(&number, value, sizeof number);
    } else {
        uint32_t whole = 0;
        memcpy(&whole, value, sizeof whole);
        number = whole;
    }
    return isfinite(number) && number >= entry->least && number <= entry->most;
}

static bool are_sound(const struct camera *camera, const struct features *features) {
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++) {
        const char *value = registers[i].feature == COMPUTED ? NULL : (const char *)features + registers[i].feature;
        if (!is_within(&registers[i], value)) {
            return false;
        }
    }
    return fits_sensor(camera, features) && features->frame_rate_hz <= camera->settings.frame_rate_max_hz &&
           features->chunk_mask < (1u << CHUNKS);
}

static uint64_t hash_of(const void *bytes, size_t size, uint64_t hash) {
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3u;
    }
    return hash;
}

void features_fit(struct camera *camera) {
    const struct camera_settings *settings = &camera->settings;
    uint64_t hash = hash_of(settings->model, strlen(settings->model), 0xCBF29CE484222325u);
    hash = hash_of(&settings->pixel_format, sizeof settings->pixel_format, hash);
    hash = hash_of(&settings->exposure_time_us, sizeof settings->exposure_time_us, hash);
    hash = hash_of(&settings->frame_rate_hz, sizeof settings->frame_rate_hz, hash);
    hash = hash_of(&camera->pack.width, sizeof camera->pack.width, hash);
    hash = hash_of(&camera->pack.height, sizeof camera->pack.height, hash);
    if (camera->state->feature_hash != hash || !are_sound(camera, &camera->state->features)) {
        features_reset(camera);
        camera->state->feature_hash = hash;
    }
    camera->state->features.is_tl_params_locked = 0; /* the host's lock: it ends with the host */
}

static uint64_t as_whole(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t compute(const struct camera *camera, uint64_t address) {
    const struct state *state = camera->state;
    uint64_t now_ns = clock_now_ns();
    switch (address) {
    case 0x2010:
        return as_whole(41.5);
    case 0x2100:
        return camera->pack.width;
    case 0x2104:
        return camera->pack.height;
    case 0x2108:
        return increment_of(camera->pack.width);
    case 0x210C:
        return increment_of(camera->pack.height);
    case 0x2124:
        return features_payload_bytes(camera);
    case 0x2220:
        return as_whole(fmin(camera->settings.frame_rate_max_hz, 1e9 / (double)camera_frame_time_ns(camera)));
    case 0x2400:
    case 0x2404:
        return line_is_high(state, now_ns);
    case 0x2408:
        return line_pulses(state, now_ns);
    case 0x2410:
        return line_encoder(state, now_ns, camera->settings.encoder_steps_per_pulse);
    case 0x2508:
        return (state->features.chunk_mask >> state->features.chunk_selector) & 1;
    default:
        return 0; /* commands are always done */
    }
}

static void compute_text(const struct camera *camera, uint64_t address, char *out, size_t size) {
    const char *text = address == 0x1000   ? "Appliance SimCam"
                       : address == 0x1040 ? camera->settings.model
                       : address == 0x1080 ? camera->settings.serial
                       : address == 0x10C0 ? camera->id
                                           : "1.0";
    snprintf(out, size, "%s", text);
}

static GC_ERROR read_nodes(uint64_t offset, void *out, size_t size) {
    size_t length = (size_t)(nodes_xml_end - nodes_xml);
    if (offset > length || size > length - offset) {
        return fail(GC_ERR_INVALID_ADDRESS, "reading %zu bytes goes past the end of the XML", size);
    }
    memcpy(out, nodes_xml + offset, size);
    return GC_ERR_SUCCESS;
}

GC_ERROR registers_read(struct camera *camera, uint64_t address, void *out, size_t size) {
    char value[128] = {0};
    if (address >= NODES_ADDRESS) {
        return read_nodes(address - NODES_ADDRESS, out, size);
    }
    const struct register_entry *entry = find(address, size);
    if (entry == NULL) {
        return fail(GC_ERR_INVALID_ADDRESS, "no register of %zu bytes at 0x%llX", size, (unsigned long long)address);
    }
    if (entry->feature != COMPUTED) {
        memcpy(value, (const char *)&camera->state->features + entry->feature, entry->size);
    } else if (entry->size >= TEXT_BYTES) {
        compute_text(camera, entry->address, value, entry->size);
    } else {
        uint64_t number = compute(camera, entry->address);
        memcpy(value, &number, sizeof number);
    }
    memcpy(out, value + (address - entry->address), size);
    return GC_ERR_SUCCESS;
}

static GC_ERROR run_command(struct camera *camera, uint64_t address) {
    switch (address) {
    case 0x2000:
        camera_power_cycle(camera, (int64_t)camera->settings.boot_ms);
        return GC_ERR_SUCCESS;
    case 0x2004:
        camera->state->features.latched_timestamp_ns = camera_device_time_ns(camera, clock_now_ns());
        return GC_ERR_SUCCESS;
    case 0x2208:
        camera_start_acquisition(camera);
        return GC_ERR_SUCCESS;
    case 0x220C:
        camera_stop_acquisition(camera);
        return GC_ERR_SUCCESS;
    case 0x230C:
        camera_software_trigger(camera);
        return GC_ERR_SUCCESS;
    default: /* 0x2600 UserSetLoad */
        if (camera->acquisition.is_active || camera->state->features.is_tl_params_locked) {
            return fail(GC_ERR_ACCESS_DENIED, "UserSetLoad is locked while acquiring");
        }
        features_reset(camera);
        return GC_ERR_SUCCESS;
    }
}

/* Write one plain feature into a copy and keep the copy only if the camera could work like that. */
static GC_ERROR set_feature(struct camera *camera, const struct register_entry *entry, const void *in) {
    struct features changed = camera->state->features;
    memcpy((char *)&changed + entry->feature, in, entry->size);
    if (!are_sound(camera, &changed)) {
        return fail(GC_ERR_INVALID_VALUE, "register 0x%llX refuses this value", (unsigned long long)entry->address);
    }
    changed.user_id[TEXT_BYTES - 1] = '\0';
    camera->state->features = changed;
    pthread_cond_broadcast(&camera->changed);
    return GC_ERR_SUCCESS;
}

GC_ERROR registers_write(struct camera *camera, uint64_t address, const void *in, size_t size) {
    const struct register_entry *entry = find(address, size);
    struct features *features = &camera->state->features;
    uint32_t whole = 0;
    if (entry == NULL || entry->address != address || entry->size != size) {
        return fail(GC_ERR_INVALID_ADDRESS, "no register of %zu bytes at 0x%llX", size, (unsigned long long)address);
    }
    if (entry->access == READ_ONLY || (entry->access == LOCKED && features->is_tl_params_locked)) {
        return fail(GC_ERR_ACCESS_DENIED, "register 0x%llX is %s", (unsigned long long)address,
                    entry->access == READ_ONLY ? "read-only" : "locked while acquiring");
    }
    if (entry->feature != COMPUTED) {
        return set_feature(camera, entry, in);
    }
    memcpy(&whole, in, sizeof whole);
    if (entry->access == COMMAND) {
        return run_command(camera, address);
    }
    if (whole > 1) { /* ChunkEnable */
        return fail(GC_ERR_INVALID_VALUE, "ChunkEnable expects 0 or 1, got %u", whole);
    }
    uint32_t bit = 1u << features->chunk_selector;
    features->chunk_mask = whole ? features->chunk_mask | bit : features->chunk_mask & ~bit;
    return GC_ERR_SUCCESS;
}

#include "exposure.h"

#include <math.h>
#include <string.h>

#include "camera.h"
#include "clock.h"
#include "fault.h"
#include "line.h"
#include "pixel_format.h"
#include "registers.h"

/* How often an idle camera looks for commands, and how far behind a transfer may be before the frame is gone. */
enum { POLL_NS = 10000000, BACKLOG_NS = 1000000000 };
enum { TRIGGER_SOFTWARE, TRIGGER_LINE0 };

/* One exposure on its way to a buffer. */
struct exposure {
    uint64_t trigger_ns, started_ns, read_out_ns, deliver_ns;
    uint64_t image; /* replay index */
    struct fault fault;
    struct frame frame;
    struct chunk_values chunks;
    struct picture picture;
};

static void wait_until(struct camera *camera, uint64_t until_ns) {
    struct timespec until = clock_timespec(until_ns);
    pthread_cond_timedwait(&camera->changed, &camera->mutex, &until);
}

static void wait_a_little(struct camera *camera, uint64_t until_ns) {
    uint64_t poll_ns = clock_now_ns() + POLL_NS;
    wait_until(camera, until_ns < poll_ns ? until_ns : poll_ns);
}

/* True once `until_ns` is here; false if the acquisition ended first. */
static bool wait_in_acquisition(struct camera *camera, uint64_t until_ns) {
    uint64_t generation = camera->acquisition.generation;
    while (camera->acquisition.is_active && camera->acquisition.generation == generation) {
        if (clock_now_ns() >= until_ns) {
            return true;
        }
        wait_until(camera, until_ns);
    }
    return false;
}

static uint64_t us_to_ns(double us) {
    return (uint64_t)llround(us * 1e3);
}

/* What the sensor sees and when, before anything is written. */
static struct exposure plan(struct camera *camera, uint64_t trigger_ns, uint64_t image, struct fault fault) {
    const struct features *features = &camera->state->features;
    const struct camera_settings *settings = &camera->settings;
    struct exposure exposure = {.trigger_ns = trigger_ns, .image = image, .fault = fault};
    exposure.started_ns = trigger_ns + (features->is_trigger_on ? us_to_ns(features->trigger_delay_us) : 0);
    exposure.read_out_ns = exposure.started_ns + camera_frame_time_ns(camera);
    exposure.deliver_ns = exposure.read_out_ns + us_to_ns(settings->transfer_ms * 1e3);
    if (fault.kind == FAULT_LATE && fault.value > 0) {
        exposure.deliver_ns += (uint64_t)fault.value * 1000000;
    }
    size_t image_bytes = features_image_bytes(camera);
    exposure.frame = (struct frame){
        .is_new = true,
        .has_chunks = features->is_chunk_mode_active,
        .timestamp_ns = camera_device_time_ns(camera, exposure.started_ns),
        .width = features->width,
        .height = features->height,
        .offset_x = features->offset_x,
        .offset_y = features->offset_y,
        .pixel_format = features->pixel_format,
        .rows_delivered = features->height,
        .chunk_mask = features->chunk_mask,
        .image_bytes = image_bytes,
        .data_size = features_payload_bytes(camera),
    };
    exposure.chunks = (struct chunk_values){
        .timestamp_ns = exposure.frame.timestamp_ns,
        .exposure_time_us = features->exposure_time_us,
        .counter_value = line_pulses(camera->state, trigger_ns),
        .encoder_value = line_encoder(camera->state, trigger_ns, settings->encoder_steps_per_pulse),
        .line_status_all = line_is_high(camera->state, trigger_ns),
    };
    double gain = pow(10, features->gain_db / 20);
    exposure.picture = (struct picture){
        .source_width = camera->pack.width,
        .source_channels = camera->pack.channels,
        .x = features->offset_x,
        .y = features->offset_y,
        .width = features->width,
        .height = features->height,
        .pixel_format = features->pixel_format,
        .factor = features->exposure_time_us / settings->exposure_time_us * gain,
        .rows_written = features->height,
        .rows_lit = features->height,
    };
    return exposure;
}

static uint32_t percent_of(uint32_t whole, int64_t percent) {
    int64_t bounded = percent < 0 ? 0 : percent > 100 ? 100 : percent;
    return (uint32_t)((uint64_t)whole * (uint64_t)bounded / 100);
}

/* Bend the exposure as its fault says: what it shows, how much of it arrives. */
static void suffer(struct camera *camera, struct exposure *exposure) {
    struct picture *picture = &exposure->picture;
    int64_t value = exposure->fault.value;
    switch (exposure->fault.kind) {
    case FAULT_BLACK:
        picture->look = LOOK_BLACK;
        break;
    case FAULT_SATURATED:
        picture->look = LOOK_SATURATED;
        break;
    case FAULT_FROZEN:
        exposure->image = camera->acquisition.last_image;
        break;
    case FAULT_BLUR:
        picture->blur_radius = value < 1 ? 1 : value > 64 ? 64 : (uint32_t)value;
        break;
    case FAULT_TRUNCATED:
        picture->rows_lit = percent_of(picture->height, value);
        break;
    case FAULT_INCOMPLETE:
    case FAULT_WRONG_SIZE:
        picture->rows_written = percent_of(picture->height, value);
        exposure->frame.is_incomplete = exposure->fault.kind == FAULT_INCOMPLETE;
        break;
    default:
        break;
    }
}

/* Fit the frame into the buffer's size: whole rows of what arrives, chunks only behind a whole image. */
static void fit_buffer(struct exposure *exposure, const struct buffer *buffer) {
    struct frame *frame = &exposure->frame;
    struct picture *picture = &exposure->picture;
    size_t row_bytes = frame->image_bytes / frame->height;
    if (frame->data_size > buffer->size) {
        uint32_t rows = (uint32_t)(buffer->size / row_bytes);
        frame->is_larger_than_buffer = true;
        frame->is_incomplete = true;
        picture->rows_written = rows < picture->rows_written ? rows : picture->rows_written;
    }
    frame->rows_delivered = picture->rows_written;
    bool is_whole = picture->rows_written == frame->height && !frame->is_larger_than_buffer;
    frame->has_chunks = frame->has_chunks && is_whole;
    frame->size_filled = is_whole ? frame->data_size : row_bytes * picture->rows_written;
}

/* The thread owns the buffer's memory from here to the return; the mutex is free meanwhile. */
static void write_pixels(struct camera *camera, struct buffer *buffer, struct exposure *exposure) {
    fit_buffer(exposure, buffer);
    exposure->picture.source = pack_image(&camera->pack, exposure->image);
    buffer->place = BUFFER_FILLING;
    camera->stream.in_hand = buffer;
    pthread_mutex_unlock(&camera->mutex);
    render(&camera->renderer, &exposure->picture, buffer->base);
    if (exposure->frame.has_chunks) {
        chunk_write(buffer->base, exposure->frame.image_bytes, exposure->frame.chunk_mask, &exposure->chunks);
    }
    pthread_mutex_lock(&camera->mutex);
    buffer->frame = exposure->frame;
    buffer->place = BUFFER_TRANSFER;
    pthread_cond_broadcast(&camera->changed);
}

/* From the end of readout to the new-buffer event, or to one of the ways to lose a frame; counts which. */
static void transfer(struct camera *camera, struct exposure *exposure) {
    struct counters *counters = &camera->state->counters;
    struct stream *stream = &camera->stream;
    if (exposure->fault.kind == FAULT_LOST || clock_now_ns() > exposure->deliver_ns + BACKLOG_NS) {
        counters->lost++;
        return;
    }
    if (!wait_in_acquisition(camera, exposure->read_out_ns) || !stream->is_grabbing) {
        counters->abandoned++;
        return;
    }
    stream->num_started++;
    struct buffer *buffer = queue_pop(&stream->input);
    if (buffer == NULL) {
        stream->num_underrun++;
        counters->underrun++;
        return;
    }
    write_pixels(camera, buffer, exposure);
    bool is_due = wait_in_acquisition(camera, exposure->deliver_ns);
    if (stream->in_hand != buffer || !is_due || stream->deliveries_left == 0) {
        stream_cancel_transfer(stream); /* stopped or flushed before the transfer ended */
        counters->abandoned++;
        return;
    }
    stream->deliveries_left -= stream->deliveries_left != UINT64_MAX;
    counters->delivered++;
    stream_deliver(stream, buffer);
}

static void expose(struct camera *camera, uint64_t trigger_ns, uint64_t number, uint64_t image) {
    struct acquisition *acquisition = &camera->acquisition;
    struct counters *counters = &camera->state->counters;
    struct fault fault = fault_take(camera->state, number);
    if (fault.kind == FAULT_SKIP) {
        counters->skipped++;
        return;
    }
    if (fault.kind == FAULT_DISCONNECT) {
        camera_power_cycle(camera, fault.value);
        return;
    }
    struct exposure exposure = plan(camera, trigger_ns, image, fault);
    suffer(camera, &exposure);
    acquisition->busy_until_ns = exposure.read_out_ns;
    acquisition->exposures++;
    acquisition->last_image = exposure.image;
    acquisition->frame_id += fault.kind != FAULT_DUPLICATE_FRAME_ID || acquisition->frame_id == 0;
    exposure.frame.frame_id = exposure.chunks.frame_id = acquisition->frame_id;
    counters->exposed++;
    counters->last_frame_id = acquisition->frame_id;
    if (acquisition->frames_left != UINT64_MAX) {
        acquisition->frames_left--;
    }
    uint64_t generation = acquisition->generation;
    transfer(camera, &exposure);
    if (acquisition->generation == generation && acquisition->frames_left == 0) {
        acquisition->is_active = false;
    }
}

static void next_line_trigger(struct camera *camera) {
    struct acquisition *acquisition = &camera->acquisition;
    struct state *state = camera->state;
    uint64_t number = acquisition->last_pulse + 1;
    uint64_t edge_ns = line_edge_ns(state, number, state->features.trigger_activation == 1);
    if (clock_now_ns() < edge_ns) {
        wait_a_little(camera, edge_ns);
        return;
    }
    acquisition->last_pulse = number;
    state->counters.last_pulse = number;
    if (edge_ns < acquisition->busy_until_ns) {
        state->counters.skipped++;
    } else {
        expose(camera, edge_ns, number, number);
    }
    fault_expire(state, number);
}

static void next_software_trigger(struct camera *camera) {
    struct acquisition *acquisition = &camera->acquisition;
    uint64_t trigger_ns = acquisition->software_ns;
    if (trigger_ns == 0) {
        wait_a_little(camera, UINT64_MAX);
        return;
    }
    acquisition->software_ns = 0;
    expose(camera, trigger_ns, acquisition->exposures + 1, acquisition->exposures);
}

static void next_free_exposure(struct camera *camera) {
    struct acquisition *acquisition = &camera->acquisition;
    const struct features *features = &camera->state->features;
    uint64_t start_ns = acquisition->next_free_ns;
    if (clock_now_ns() < start_ns) {
        wait_a_little(camera, start_ns);
        return;
    }
    double rate_hz = features->is_rate_enabled ? features->frame_rate_hz : camera->settings.frame_rate_max_hz;
    uint64_t period_ns = (uint64_t)llround(1e9 / rate_hz);
    uint64_t least_ns = camera_frame_time_ns(camera);
    acquisition->next_free_ns = start_ns + (period_ns > least_ns ? period_ns : least_ns);
    expose(camera, start_ns, acquisition->exposures + 1, acquisition->exposures);
}

static void step(struct camera *camera) {
    const struct features *features = &camera->state->features;
    struct fault disconnect = camera->is_lost ? (struct fault){FAULT_NONE, 0} : fault_take_disconnect(camera->state);
    if (disconnect.kind != FAULT_NONE) {
        camera_power_cycle(camera, disconnect.value);
    } else if (!camera->acquisition.is_active) {
        wait_a_little(camera, UINT64_MAX);
    } else if (features->is_trigger_on && features->trigger_source == TRIGGER_LINE0) {
        next_line_trigger(camera);
    } else {
        camera->acquisition.last_pulse = line_pulses(camera->state, clock_now_ns());
        features->is_trigger_on ? next_software_trigger(camera) : next_free_exposure(camera);
    }
}

void *exposure_thread(void *argument) {
    struct camera *camera = argument;
    pthread_mutex_lock(&camera->mutex);
    while (!camera->must_quit) {
        step(camera);
    }
    pthread_mutex_unlock(&camera->mutex);
    return NULL;
}

#include "camera.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "exposure.h"
#include "line.h"
#include "registers.h"

enum { NS_PER_MS = 1000000 };
enum { ACQUISITION_CONTINUOUS, ACQUISITION_SINGLE_FRAME };

void camera_init(struct camera *camera, const struct camera_settings *settings) {
    pthread_condattr_t monotonic;
    memset(camera, 0, sizeof *camera);
    camera->settings = *settings;
    snprintf(camera->id, sizeof camera->id, "SimCam_%.64s", settings->serial);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&camera->mutex, NULL);
    pthread_cond_init(&camera->changed, &monotonic);
    pthread_cond_init(&camera->stream.delivered, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void camera_dispose(struct camera *camera) {
    pthread_cond_destroy(&camera->stream.delivered);
    pthread_cond_destroy(&camera->changed);
    pthread_mutex_destroy(&camera->mutex);
}

GC_ERROR camera_open(struct camera *camera) {
    char problem[PROBLEM_BYTES];
    if (state_presence(camera->settings.state).is_absent) {
        return fail(GC_ERR_NOT_AVAILABLE, "camera %s is disconnected", camera->settings.serial);
    }
    if (!pack_open(&camera->pack, camera->settings.pack, problem, sizeof problem)) {
        note("camera %s: %s", camera->settings.serial, problem);
        return fail(GC_ERR_IO, "camera %s: %s", camera->settings.serial, problem);
    }
    enum state_outcome outcome =
        state_open(camera->settings.state, &camera->state, &camera->state_fd, problem, sizeof problem);
    if (outcome != STATE_OPEN) {
        pack_close(&camera->pack);
        return fail(outcome == STATE_BUSY ? GC_ERR_ACCESS_DENIED : GC_ERR_IO, "camera %s: %s",
                    camera->settings.serial, problem);
    }
    camera->is_lost = false;
    camera->must_quit = false;
    camera->acquisition = (struct acquisition){.generation = camera->acquisition.generation};
    line_fit(camera->state, &camera->settings);
    features_fit(camera);
    camera->state->counters.opens++;
    if (pthread_create(&camera->thread, NULL, exposure_thread, camera) != 0) {
        state_close(camera->state, camera->state_fd);
        pack_close(&camera->pack);
        return fail(GC_ERR_RESOURCE_EXHAUSTED, "camera %s: no thread to be had", camera->settings.serial);
    }
    return GC_ERR_SUCCESS;
}

void camera_close(struct camera *camera) {
    pthread_mutex_lock(&camera->mutex);
    camera->must_quit = true;
    camera_stop_acquisition(camera);
    pthread_mutex_unlock(&camera->mutex);
    pthread_join(camera->thread, NULL);
    renderer_free(&camera->renderer);
    state_close(camera->state, camera->state_fd);
    camera->state = NULL;
    pack_close(&camera->pack);
}

void camera_start_acquisition(struct camera *camera) {
    struct acquisition *acquisition = &camera->acquisition;
    const struct features *features = &camera->state->features;
    uint64_t now_ns = clock_now_ns();
    if (acquisition->is_active) {
        return;
    }
    line_start(camera->state, now_ns);
    *acquisition = (struct acquisition){
        .is_active = true,
        .generation = acquisition->generation + 1,
        .frames_left = features->acquisition_mode == ACQUISITION_CONTINUOUS     ? UINT64_MAX
                       : features->acquisition_mode == ACQUISITION_SINGLE_FRAME ? 1
                                                                                : features->acquisition_frame_count,
        .next_free_ns = now_ns,
        .last_pulse = line_pulses(camera->state, now_ns),
    };
    camera->state->counters.acquisitions++;
    pthread_cond_broadcast(&camera->changed);
}

void camera_stop_acquisition(struct camera *camera) {
    camera->acquisition.is_active = false;
    camera->acquisition.generation++;
    pthread_cond_broadcast(&camera->changed);
}

void camera_software_trigger(struct camera *camera) {
    struct acquisition *acquisition = &camera->acquisition;
    const struct features *features = &camera->state->features;
    uint64_t now_ns = clock_now_ns();
    if (!acquisition->is_active || !features->is_trigger_on || features->trigger_source != 0) {
        return;
    }
    if (acquisition->software_ns != 0 || now_ns < acquisition->busy_until_ns) {
        camera->state->counters.skipped++;
        return;
    }
    acquisition->software_ns = now_ns;
    pthread_cond_broadcast(&camera->changed);
}

void camera_power_cycle(struct camera *camera, int64_t absent_ms) {
    uint64_t back_ns = clock_now_ns() + (uint64_t)(absent_ms > 0 ? absent_ms : 0) * NS_PER_MS;
    camera_stop_acquisition(camera);
    features_reset(camera);
    camera->is_lost = true;
    camera->state->powered_on_ns = back_ns;
    camera->state->absent_until_ns = back_ns;
    camera->state->counters.power_cycles++;
}

uint64_t camera_device_time_ns(const struct camera *camera, uint64_t host_ns) {
    uint64_t powered_on_ns = camera->state->powered_on_ns;
    double up_ns = host_ns > powered_on_ns ? (double)(host_ns - powered_on_ns) : 0;
    int64_t drift_ns = llround(up_ns * camera->settings.drift_ppm * 1e-6);
    uint64_t whole_ns = host_ns > powered_on_ns ? host_ns - powered_on_ns : 0;
    return whole_ns + (uint64_t)drift_ns + (uint64_t)camera->settings.clock_offset_ns;
}

uint64_t camera_frame_time_ns(const struct camera *camera) {
    double ns = camera->state->features.exposure_time_us * 1e3 + camera->settings.readout_ms * 1e6;
    return (uint64_t)llround(ns);
}

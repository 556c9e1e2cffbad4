/* One simulated camera: what is shared between the calls of the application and the camera's own thread.
 *
 * `mutex` guards everything below it. The thread leaves the mutex only to wait and to write pixels, and says so by
 * the place of the buffer it works on. Lifetimes: struct camera from TLOpen to TLClose; pack, state and thread from
 * IFOpenDevice to DevClose; the stream's buffers from DSAnnounceBuffer to DSRevokeBuffer or DSClose.
 */
#ifndef SIMCAM_CAMERA_H
#define SIMCAM_CAMERA_H

#include <pthread.h>
#include <stdbool.h>

#include "gentl.h"
#include "pack.h"
#include "render.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

/* What AcquisitionStart begins and AcquisitionStop ends. */
struct acquisition {
    bool is_active;
    uint64_t generation;     /* of the acquisition, so that a wait notices a stop and a new start */
    uint64_t frame_id;       /* of the last exposure; the first gets 1 */
    uint64_t exposures;      /* since the start: the replay index without a line */
    uint64_t frames_left;    /* UINT64_MAX: endless */
    uint64_t next_free_ns;   /* free run: the next exposure */
    uint64_t busy_until_ns;  /* exposure and readout of the last frame */
    uint64_t software_ns;    /* a software trigger that waits; 0: none */
    uint64_t last_pulse;     /* the last pulse looked at */
    uint64_t last_image;     /* replay index of the last exposure, for the fault frozen */
};

struct camera {
    struct camera_settings settings;
    char id[SERIAL_BYTES + 16];
    DEV_HANDLE device; /* NULL: closed */
    PORT_HANDLE port;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* wakes the camera's thread, and whoever waits for a buffer to leave its hands */
    bool is_lost;           /* vanished while open: every register answers GC_ERR_IO until it is opened again */
    bool must_quit;
    pthread_t thread;
    struct pack pack;
    struct state *state;
    int state_fd;
    struct renderer renderer; /* the thread's own */
    struct acquisition acquisition;
    struct stream stream;
};

/* Prepare and dispose of a closed camera. */
void camera_init(struct camera *camera, const struct camera_settings *settings);
void camera_dispose(struct camera *camera);

/* Map pack and state, start the thread. */
GC_ERROR camera_open(struct camera *camera);
void camera_close(struct camera *camera);

/* With the mutex held: */
void camera_start_acquisition(struct camera *camera);
void camera_stop_acquisition(struct camera *camera);
void camera_software_trigger(struct camera *camera);

/* The device vanishes for `absent_ms` and has forgotten its features when it comes back. */
void camera_power_cycle(struct camera *camera, int64_t absent_ms);

/* The device's clock at a host time. */
uint64_t camera_device_time_ns(const struct camera *camera, uint64_t host_ns);

/* Shortest time from one exposure to the next. */
uint64_t camera_frame_time_ns(const struct camera *camera);

#endif

/* The producer as a whole: one system, one interface, the cameras of the settings file. */
#ifndef SIMCAM_LIBRARY_H
#define SIMCAM_LIBRARY_H

#include "camera.h"
#include "handle.h"

#define TL_TYPE "Custom" /* harvesters then parses chunks by GenTL's own list, not by GigE or USB3 rules */
#define INTERFACE_ID "SimCamInterface"
#define STREAM_ID "Stream0"

/* `mutex` guards opening and closing of every module; taken before any camera's mutex. */
struct library {
    pthread_mutex_t mutex;
    bool is_initialised;
    TL_HANDLE system;
    IF_HANDLE interface;
    struct settings settings;
    struct camera cameras[CAMERAS_MAX];
    uint32_t listed[CAMERAS_MAX]; /* indices of the cameras the last IFUpdateDeviceList saw */
    uint32_t listed_count;
};

extern struct library library;

/* Lock the library and check that `handle` is a live `kind`; on failure nothing is locked. Pair with library_leave. */
GC_ERROR library_enter(void *handle, enum handle_kind kind);
void library_leave(void);

/* Close what is open below a module; with the library locked. */
void library_close_interface(void);
void library_close_device(struct camera *camera);
void library_close_stream(struct camera *camera);

#endif

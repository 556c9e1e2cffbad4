/* The new-buffer event of a stream. */
#ifndef SIMCAM_EVENT_H
#define SIMCAM_EVENT_H

#include "camera.h"

/* Send every waiter away and free the event; with the library locked, the camera not. */
void event_close(struct camera *camera);

#endif

/* The camera's own thread: waits for the next trigger, exposes, fills a buffer, delivers it in time. */
#ifndef SIMCAM_EXPOSURE_H
#define SIMCAM_EXPOSURE_H

/* Entry point; the argument is an open struct camera. Ends once must_quit is set. */
void *exposure_thread(void *camera);

#endif

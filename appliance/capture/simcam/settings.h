/* The text file APPLIANCE_SIMCAM names: which cameras exist and what they are like at power-on. */
#ifndef SIMCAM_SETTINGS_H
#define SIMCAM_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

enum { CAMERAS_MAX = 16, SERIAL_BYTES = 64, PATH_BYTES = 1024, PROBLEM_BYTES = 256 };

struct camera_settings {
    char serial[SERIAL_BYTES];
    char model[SERIAL_BYTES];
    char pack[PATH_BYTES];  /* what to replay, see pack.h */
    char state[PATH_BYTES]; /* line, features, faults and counters that outlive the grabber, see state.h */
    uint32_t pixel_format;  /* PFNC code at power-on */
    double line_hz;         /* pulses on Line0; 0: nothing is connected */
    double line_pulses;     /* the line stops after so many; 0: never */
    double encoder_steps_per_pulse;
    double exposure_time_us; /* at power-on, and the one at which pixels equal the source */
    double frame_rate_hz;    /* AcquisitionFrameRate at power-on */
    double frame_rate_max_hz;
    double readout_ms;  /* after the exposure; a trigger during exposure or readout is skipped */
    double transfer_ms; /* from the end of readout to the new-buffer event */
    double clock_offset_ns;
    double drift_ppm;
    double boot_ms; /* how long DeviceReset takes the camera away */
};

struct settings {
    struct camera_settings cameras[CAMERAS_MAX];
    uint32_t count;
};

/* Read a file; false with one line in `problem` naming file, line, key and what was expected. */
bool settings_read(const char *path, struct settings *settings, char problem[PROBLEM_BYTES]);

#endif

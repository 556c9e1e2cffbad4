/* The state file: what goes on while no grabber runs, and the way to command faults from outside.
 *
 *   offset  owner   content
 *        0  both    magic "SIMCAM02", boot id (CLOCK_MONOTONIC means nothing after a reboot)
 *       32  camera  line, power-on time, absence
 *      128  camera  counters, one uint64 each
 *     1024  control 64 fault commands of 64 bytes
 *     5120  camera  64 fault progress records of 16 bytes
 *     6144  camera  features, as a real camera keeps them while it has power
 *     8192          end
 *
 * Every field has one writing process: "camera" is the process that holds a lock (fcntl, F_OFD_SETLK) on the
 * file, which the producer takes when the device is opened; "control" is control.py. Aligned 64-bit words are written whole. No reader relies
 * on the order of stores: a command counts only once its check word fits. control.py describes the same layout.
 */
#ifndef SIMCAM_STATE_H
#define SIMCAM_STATE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

enum { COMMANDS = 64, STATE_BYTES = 8192 };

enum fault_kind {
    FAULT_NONE,
    FAULT_INCOMPLETE,
    FAULT_LOST,
    FAULT_WRONG_SIZE,
    FAULT_LATE,
    FAULT_DISCONNECT,
    FAULT_SKIP,
    FAULT_BLACK,
    FAULT_SATURATED,
    FAULT_FROZEN,
    FAULT_BLUR,
    FAULT_TRUNCATED,
    FAULT_DUPLICATE_FRAME_ID,
    FAULT_KINDS,
};

struct counters {
    uint64_t exposed;   /* exposures made: delivered + lost + underrun + abandoned at a stop */
    uint64_t delivered; /* new-buffer events queued for the application */
    uint64_t skipped;   /* triggers that found the camera busy, or the fault skip */
    uint64_t underrun;  /* no buffer was queued */
    uint64_t lost;      /* fault lost, or a transfer more than a second behind */
    uint64_t abandoned; /* acquisition stopped before the frame was delivered */
    uint64_t acquisitions;
    uint64_t opens;
    uint64_t power_cycles;
    uint64_t last_frame_id;
    uint64_t last_pulse;
    uint64_t unused[5];
    uint64_t faults_served[16];
};

struct command {
    uint64_t sequence; /* 1, 2, 3 ...; 0: never used */
    uint32_t kind, count;
    uint64_t at_pulse; /* ANY_PULSE: the next exposures */
    int64_t value;     /* DEFAULT_VALUE: the kind's own */
    uint64_t zero[3];
    uint64_t check; /* FNV-1a of the 56 bytes before */
};
#define ANY_PULSE UINT64_MAX
#define DEFAULT_VALUE INT64_MIN

struct progress {
    uint64_t sequence;
    uint32_t served, missed;
};

struct features {
    uint32_t width, height, offset_x, offset_y, pixel_format;
    uint32_t acquisition_mode, acquisition_frame_count, is_rate_enabled;
    uint32_t is_trigger_on, trigger_source, trigger_activation;
    uint32_t is_chunk_mode_active, chunk_selector, chunk_mask;
    uint32_t is_tl_params_locked, zero;
    double frame_rate_hz, exposure_time_us, gain_db, trigger_delay_us;
    uint64_t latched_timestamp_ns;
    char user_id[64];
};

struct state {
    char magic[8];
    uint8_t boot_id[16];
    uint64_t unused0;
    uint64_t line_started_ns; /* pulse k comes at line_started_ns + k * line_period_ns; 0: not yet started */
    uint64_t line_period_ns;  /* 0: no line */
    uint64_t line_pulses;     /* the last pulse; 0: endless */
    uint64_t powered_on_ns;
    uint64_t absent_until_ns;
    uint64_t line_hash, feature_hash; /* of the settings these were made from */
    uint64_t unused1[5];
    struct counters counters;
    uint8_t gap0[1024 - 128 - sizeof(struct counters)];
    struct command commands[COMMANDS];
    struct progress progress[COMMANDS];
    struct features features;
    uint8_t gap1[STATE_BYTES - 6144 - sizeof(struct features)];
};
static_assert(offsetof(struct state, line_started_ns) == 32, "state file layout");
static_assert(offsetof(struct state, counters) == 128, "state file layout");
static_assert(offsetof(struct state, commands) == 1024, "state file layout");
static_assert(sizeof(struct command) == 64 && sizeof(struct progress) == 16, "state file layout");
static_assert(offsetof(struct state, progress) == 5120, "state file layout");
static_assert(offsetof(struct state, features) == 6144, "state file layout");
static_assert(sizeof(struct state) == STATE_BYTES, "state file layout");

enum state_outcome { STATE_OPEN, STATE_BUSY, STATE_BROKEN };

/* Map the file, create it if it isn't there, and own it until state_close. STATE_BUSY: another process owns it. */
enum state_outcome state_open(const char *path, struct state **state, int *fd, char *problem, size_t problem_bytes);
void state_close(struct state *state, int fd);

/* How the camera stands, asked without owning it. A file that isn't there yet is a present, free camera. */
struct presence {
    bool is_absent, is_busy;
};
struct presence state_presence(const char *path);

#endif

#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pixel_format.h"

static const struct {
    const char *key;
    size_t offset;
    double least, most;
} numbers[] = {
    {"line_hz", offsetof(struct camera_settings, line_hz), 0, 10000},
    {"line_pulses", offsetof(struct camera_settings, line_pulses), 0, 1e15},
    {"encoder_steps_per_pulse", offsetof(struct camera_settings, encoder_steps_per_pulse), 1, 1e6},
    {"exposure_time_us", offsetof(struct camera_settings, exposure_time_us), 1, 1e7},
    {"frame_rate_hz", offsetof(struct camera_settings, frame_rate_hz), 0.01, 10000},
    {"frame_rate_max_hz", offsetof(struct camera_settings, frame_rate_max_hz), 0.01, 10000},
    {"readout_ms", offsetof(struct camera_settings, readout_ms), 0, 10000},
    {"transfer_ms", offsetof(struct camera_settings, transfer_ms), 0, 10000},
    {"clock_offset_ns", offsetof(struct camera_settings, clock_offset_ns), 0, 9e15},
    {"drift_ppm", offsetof(struct camera_settings, drift_ppm), -1000, 1000},
    {"boot_ms", offsetof(struct camera_settings, boot_ms), 0, 600000},
};

static const struct {
    const char *key;
    size_t offset, size;
} texts[] = {
    {"model", offsetof(struct camera_settings, model), SERIAL_BYTES},
    {"pack", offsetof(struct camera_settings, pack), PATH_BYTES},
    {"state", offsetof(struct camera_settings, state), PATH_BYTES},
};

static const struct camera_settings power_on = {
    .model = "SimCam",
    .pixel_format = PIXEL_MONO8,
    .encoder_steps_per_pulse = 1,
    .exposure_time_us = 200,
    .frame_rate_hz = 20,
    .frame_rate_max_hz = 500,
    .readout_ms = 0.2,
    .transfer_ms = 0.2,
    .boot_ms = 300,
};

/* Where the parser stands, for its messages. */
struct place {
    const char *path;
    int line;
    char *problem;
};

__attribute__((format(printf, 2, 3))) static bool refuse(const struct place *place, const char *format, ...) {
    char text[PROBLEM_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int used = snprintf(place->problem, PROBLEM_BYTES, "%.120s line %d: ", place->path, place->line);
    snprintf(place->problem + used, PROBLEM_BYTES - (size_t)used, "%.*s", PROBLEM_BYTES - 1 - used, text);
    return false;
}

static char *trim(char *text) {
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        text[--length] = '\0';
    }
    return text;
}

static bool set_text(char *out, size_t size, const char *value, const struct place *place) {
    if (*value == '\0' || strlen(value) >= size) {
        return refuse(place, "expected 1 to %zu characters, got %zu", size - 1, strlen(value));
    }
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool set_number(double *out, double least, double most, const char *key, const char *value,
                       const struct place *place) {
    char *end = NULL;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(number) || number < least || number > most) {
        return refuse(place, "%s expects a number from %g to %g, got '%.40s'", key, least, most, value);
    }
    *out = number;
    return true;
}

static bool set_key(struct camera_settings *camera, const char *key, const char *value,
                    const struct place *place) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            double *out = (double *)(void *)((char *)camera + numbers[i].offset);
            return set_number(out, numbers[i].least, numbers[i].most, key, value, place);
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0) {
            return set_text((char *)camera + texts[i].offset, texts[i].size, value, place);
        }
    }
    if (strcmp(key, "pixel_format") == 0) {
        camera->pixel_format = pixel_format_named(value);
        return camera->pixel_format != 0 ||
               refuse(place, "pixel_format expects Mono8, Mono16, RGB8 or BayerRG8, got '%.40s'", value);
    }
    return refuse(place, "unknown key '%.40s'", key);
}

static bool open_section(struct settings *settings, char *line, const struct place *place) {
    size_t length = strlen(line);
    if (strncmp(line, "[camera ", 8) != 0 || line[length - 1] != ']') {
        return refuse(place, "expected [camera SERIAL], got '%.40s'", line);
    }
    line[length - 1] = '\0';
    const char *serial = trim(line + 8);
    for (uint32_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->cameras[i].serial, serial) == 0) {
            return refuse(place, "camera '%.40s' appears twice", serial);
        }
    }
    if (settings->count == CAMERAS_MAX) {
        return refuse(place, "more than %d cameras", CAMERAS_MAX);
    }
    struct camera_settings *camera = &settings->cameras[settings->count++];
    *camera = power_on;
    return set_text(camera->serial, sizeof camera->serial, serial, place);
}

static bool read_line(struct settings *settings, char *line, const struct place *place) {
    if (*line == '\0' || *line == '#') {
        return true;
    }
    if (*line == '[') {
        return open_section(settings, line, place);
    }
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return refuse(place, "expected 'key = value', got '%.40s'", line);
    }
    if (settings->count == 0) {
        return refuse(place, "a key before the first [camera SERIAL]");
    }
    *equals = '\0';
    return set_key(&settings->cameras[settings->count - 1], trim(line), trim(equals + 1), place);
}

static bool check_complete(const struct settings *settings, struct place *place) {
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct camera_settings *camera = &settings->cameras[i];
        if (camera->pack[0] == '\0' || camera->state[0] == '\0') {
            return refuse(place, "camera '%.40s' needs both 'pack' and 'state'", camera->serial);
        }
        if (camera->frame_rate_hz > camera->frame_rate_max_hz) {
            return refuse(place, "camera '%.40s': frame_rate_hz is above frame_rate_max_hz", camera->serial);
        }
    }
    return true;
}

bool settings_read(const char *path, struct settings *settings, char problem[PROBLEM_BYTES]) {
    struct place place = {.path = path, .problem = problem};
    memset(settings, 0, sizeof *settings);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(problem, PROBLEM_BYTES, "APPLIANCE_SIMCAM names %.120s: %s", path, strerror(errno));
        return false;
    }
    char *line = NULL;
    size_t capacity = 0;
    bool is_good = true;
    while (is_good && getline(&line, &capacity, file) >= 0) {
        place.line++;
        is_good = read_line(settings, trim(line), &place);
    }
    free(line);
    fclose(file);
    return is_good && check_complete(settings, &place);
}

#include "line.h"

#include <math.h>

void line_fit(struct state *state, const struct camera_settings *settings) {
    uint64_t period_ns = settings->line_hz > 0 ? (uint64_t)llround(1e9 / settings->line_hz) : 0;
    uint64_t pulses = (uint64_t)settings->line_pulses;
    uint64_t hash = (period_ns * 0x9E3779B97F4A7C15u) ^ pulses ^ 1;
    if (state->line_hash == hash) {
        return;
    }
    state->line_started_ns = 0;
    state->line_period_ns = period_ns;
    state->line_pulses = pulses;
    state->line_hash = hash;
}

void line_start(struct state *state, uint64_t now_ns) {
    if (state->line_started_ns == 0 && state->line_period_ns != 0) {
        state->line_started_ns = now_ns;
    }
}

static uint64_t elapsed_ns(const struct state *state, uint64_t now_ns) {
    uint64_t started_ns = state->line_started_ns;
    return started_ns == 0 || state->line_period_ns == 0 || now_ns <= started_ns ? 0 : now_ns - started_ns;
}

uint64_t line_pulses(const struct state *state, uint64_t now_ns) {
    uint64_t elapsed = elapsed_ns(state, now_ns);
    uint64_t pulses = elapsed == 0 ? 0 : elapsed / state->line_period_ns;
    return state->line_pulses != 0 && pulses > state->line_pulses ? state->line_pulses : pulses;
}

uint64_t line_encoder(const struct state *state, uint64_t now_ns, double steps_per_pulse) {
    uint64_t pulses = line_pulses(state, now_ns);
    uint64_t steps = (uint64_t)steps_per_pulse;
    if (pulses == 0 && elapsed_ns(state, now_ns) == 0) {
        return 0;
    }
    if (state->line_pulses != 0 && pulses == state->line_pulses) {
        return pulses * steps;
    }
    uint64_t within_ns = elapsed_ns(state, now_ns) - pulses * state->line_period_ns;
    return pulses * steps + (uint64_t)((double)within_ns * (double)steps / (double)state->line_period_ns);
}

bool line_is_high(const struct state *state, uint64_t now_ns) {
    uint64_t pulses = line_pulses(state, now_ns);
    return pulses > 0 && elapsed_ns(state, now_ns) - pulses * state->line_period_ns < state->line_period_ns / 2;
}

uint64_t line_edge_ns(const struct state *state, uint64_t number, bool is_falling) {
    if (state->line_started_ns == 0 || state->line_period_ns == 0 ||
        (state->line_pulses != 0 && number > state->line_pulses)) {
        return UINT64_MAX;
    }
    return state->line_started_ns + number * state->line_period_ns + (is_falling ? state->line_period_ns / 2 : 0);
}

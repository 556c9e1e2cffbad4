/* The production line on Line0: pulses that nobody can stop, an edge counter and an encoder.
 *
 * Pulse k (k = 1, 2, ...) rises at line_started_ns + k * line_period_ns and stays high for half a period. All of it
 * is arithmetic on the state file, so the line runs on while no process looks.
 */
#ifndef SIMCAM_LINE_H
#define SIMCAM_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "state.h"

/* Take line_hz and line_pulses from the settings; a line made from the same settings runs on. */
void line_fit(struct state *state, const struct camera_settings *settings);

/* Start the line if it waits for the first acquisition. */
void line_start(struct state *state, uint64_t now_ns);

/* Rising edges up to and including `now_ns`: CounterValue. */
uint64_t line_pulses(const struct state *state, uint64_t now_ns);

/* EncoderValue: steps since the start, line_pulses * steps_per_pulse at each edge. */
uint64_t line_encoder(const struct state *state, uint64_t now_ns, double steps_per_pulse);

bool line_is_high(const struct state *state, uint64_t now_ns);

/* When pulse `number` triggers; UINT64_MAX if it never comes. */
uint64_t line_edge_ns(const struct state *state, uint64_t number, bool is_falling);

#endif

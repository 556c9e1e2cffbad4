#include "fault.h"

static const int64_t default_values[FAULT_KINDS] = {
    [FAULT_INCOMPLETE] = 60,    /* percent of the payload that arrives */
    [FAULT_WRONG_SIZE] = 50,    /* percent of the payload that arrives */
    [FAULT_LATE] = 100,         /* ms */
    [FAULT_DISCONNECT] = 1000,  /* ms */
    [FAULT_BLUR] = 6,           /* radius in px */
    [FAULT_TRUNCATED] = 50,     /* percent of the rows that arrive */
};

static uint64_t check_of(const struct command *command) {
    const uint8_t *bytes = (const uint8_t *)command;
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < offsetof(struct command, check); i++) {
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    }
    return hash;
}

/* Copy command `slot` if it is whole and still has something to serve. */
static bool is_pending(struct state *state, int slot, struct command *out) {
    *out = state->commands[slot];
    if (out->sequence == 0 || out->kind == FAULT_NONE || out->kind >= FAULT_KINDS || check_of(out) != out->check) {
        return false;
    }
    struct progress *progress = &state->progress[slot];
    if (progress->sequence != out->sequence) {
        *progress = (struct progress){.sequence = out->sequence};
    }
    return progress->served + progress->missed < out->count;
}

static struct fault serve(struct state *state, int slot, const struct command *command) {
    state->progress[slot].served++;
    state->counters.faults_served[command->kind]++;
    bool has_value = command->value != DEFAULT_VALUE;
    return (struct fault){.kind = command->kind,
                          .value = has_value ? command->value : default_values[command->kind]};
}

struct fault fault_take(struct state *state, uint64_t number) {
    int best = -1;
    struct command chosen = {0};
    for (int slot = 0; slot < COMMANDS; slot++) {
        struct command command;
        if (!is_pending(state, slot, &command)) {
            continue;
        }
        bool is_bound = command.at_pulse != ANY_PULSE;
        if (is_bound && (number < command.at_pulse || number - command.at_pulse >= command.count)) {
            continue;
        }
        bool is_chosen_bound = best >= 0 && chosen.at_pulse != ANY_PULSE;
        if (best < 0 || is_bound > is_chosen_bound ||
            (is_bound == is_chosen_bound && command.sequence < chosen.sequence)) {
            best = slot;
            chosen = command;
        }
    }
    return best >= 0 ? serve(state, best, &chosen) : (struct fault){FAULT_NONE, 0};
}

struct fault fault_take_disconnect(struct state *state) {
    for (int slot = 0; slot < COMMANDS; slot++) {
        struct command command;
        if (is_pending(state, slot, &command) && command.kind == FAULT_DISCONNECT && command.at_pulse == ANY_PULSE) {
            return serve(state, slot, &command);
        }
    }
    return (struct fault){FAULT_NONE, 0};
}

void fault_expire(struct state *state, uint64_t number) {
    for (int slot = 0; slot < COMMANDS; slot++) {
        struct command command;
        if (is_pending(state, slot, &command) && command.at_pulse != ANY_PULSE && number >= command.at_pulse) {
            uint64_t gone = number - command.at_pulse + 1;
            struct progress *progress = &state->progress[slot];
            uint64_t due = gone > command.count ? command.count : gone;
            if (progress->served + progress->missed < due) {
                progress->missed = (uint32_t)(due - progress->served);
            }
        }
    }
}

/* Faults on command: which fault, if any, an exposure suffers. */
#ifndef SIMCAM_FAULT_H
#define SIMCAM_FAULT_H

#include "state.h"

struct fault {
    enum fault_kind kind; /* FAULT_NONE: a good exposure */
    int64_t value;        /* the command's, or the kind's default */
};

/* The fault of exposure `number`: one bound to this pulse, else the oldest unbound one; marks it served. */
struct fault fault_take(struct state *state, uint64_t number);

/* A disconnect that waits for no pulse, if one is commanded. */
struct fault fault_take_disconnect(struct state *state);

/* Pulses up to `number` have gone by: commands bound to one that was not exposed are counted as missed. */
void fault_expire(struct state *state, uint64_t number);

#endif

/* Opaque handles that can be checked.
 *
 * A handle is a table index and a generation, never a pointer, so a stale or made-up handle is refused instead of
 * followed. A call pins the handle while it works; closing retires it (no new pins) and waits for the pins to end.
 */
#ifndef SIMCAM_HANDLE_H
#define SIMCAM_HANDLE_H

#include <stdbool.h>

enum handle_kind { HANDLE_SYSTEM = 1, HANDLE_INTERFACE, HANDLE_DEVICE, HANDLE_PORT, HANDLE_STREAM, HANDLE_BUFFER, HANDLE_EVENT };

/* NULL when the table is full. */
void *handle_new(enum handle_kind kind, void *object);

/* The object, or NULL when the handle is not a live one of this kind. Pair with handle_unpin. */
void *handle_pin(void *handle, enum handle_kind kind);
void handle_unpin(void *handle);

/* Kind of a live handle, 0 for any other value. */
enum handle_kind handle_kind_of(void *handle);

/* Exactly one caller gets the object; from then on pins fail. */
void *handle_retire(void *handle, enum handle_kind kind);

/* Wait until nobody pins a retired handle, then free its place. */
void handle_free(void *handle);

#endif

/* How every exported function answers: error codes with a text, and typed info values. */
#ifndef SIMCAM_ANSWER_H
#define SIMCAM_ANSWER_H

#include <stdbool.h>

#include "gentl.h"

/* Remember `code` and a text for GCGetLastError of this thread; returns `code`. */
GC_ERROR fail(GC_ERROR code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line on stderr, for what no caller will ask GCGetLastError about. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

GC_ERROR last_error(GC_ERROR *code, char *text, size_t *size);

/* Each writes one value by the standard's rules: `out` NULL asks for type and size only, `type` may be NULL. */
GC_ERROR answer_text(const char *value, INFO_DATATYPE *type, void *out, size_t *size);
GC_ERROR answer_bool(bool value, INFO_DATATYPE *type, void *out, size_t *size);
GC_ERROR answer_int32(int32_t value, INFO_DATATYPE *type, void *out, size_t *size);
GC_ERROR answer_uint32(uint32_t value, INFO_DATATYPE *type, void *out, size_t *size);
GC_ERROR answer_uint64(uint64_t value, INFO_DATATYPE *type, void *out, size_t *size);
GC_ERROR answer_size(size_t value, INFO_DATATYPE *type, void *out, size_t *size);
GC_ERROR answer_pointer(void *value, INFO_DATATYPE *type, void *out, size_t *size);

#endif

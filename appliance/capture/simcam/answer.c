#include "answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local GC_ERROR last_code = GC_ERR_SUCCESS;
static _Thread_local char last_text[512] = "No error";

GC_ERROR fail(GC_ERROR code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_text, sizeof last_text, format, arguments);
    va_end(arguments);
    last_code = code;
    return code;
}

void note(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "appliance_simcam: %s\n", text);
}

static GC_ERROR answer(const void *value, size_t value_size, INFO_DATATYPE value_type, INFO_DATATYPE *type,
                       void *out, size_t *size) {
    if (size == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the size pointer is NULL");
    }
    if (type != NULL) {
        *type = value_type;
    }
    if (out == NULL) {
        *size = value_size;
        return GC_ERR_SUCCESS;
    }
    if (*size < value_size) {
        GC_ERROR code = fail(GC_ERR_BUFFER_TOO_SMALL, "%zu bytes needed, %zu given", value_size, *size);
        *size = value_size;
        return code;
    }
    memcpy(out, value, value_size);
    *size = value_size;
    return GC_ERR_SUCCESS;
}

GC_ERROR last_error(GC_ERROR *code, char *text, size_t *size) {
    if (code == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the error code pointer is NULL");
    }
    *code = last_code;
    return answer(last_text, strlen(last_text) + 1, INFO_DATATYPE_STRING, NULL, text, size);
}

GC_ERROR answer_text(const char *value, INFO_DATATYPE *type, void *out, size_t *size) {
    return answer(value, strlen(value) + 1, INFO_DATATYPE_STRING, type, out, size);
}

GC_ERROR answer_bool(bool value, INFO_DATATYPE *type, void *out, size_t *size) {
    bool8_t byte = value;
    return answer(&byte, sizeof byte, INFO_DATATYPE_BOOL8, type, out, size);
}

GC_ERROR answer_int32(int32_t value, INFO_DATATYPE *type, void *out, size_t *size) {
    return answer(&value, sizeof value, INFO_DATATYPE_INT32, type, out, size);
}

GC_ERROR answer_uint32(uint32_t value, INFO_DATATYPE *type, void *out, size_t *size) {
    return answer(&value, sizeof value, INFO_DATATYPE_UINT32, type, out, size);
}

GC_ERROR answer_uint64(uint64_t value, INFO_DATATYPE *type, void *out, size_t *size) {
    return answer(&value, sizeof value, INFO_DATATYPE_UINT64, type, out, size);
}

GC_ERROR answer_size(size_t value, INFO_DATATYPE *type, void *out, size_t *size) {
    return answer(&value, sizeof value, INFO_DATATYPE_SIZET, type, out, size);
}

GC_ERROR answer_pointer(void *value, INFO_DATATYPE *type, void *out, size_t *size) {
    return answer(&value, sizeof value, INFO_DATATYPE_PTR, type, out, size);
}

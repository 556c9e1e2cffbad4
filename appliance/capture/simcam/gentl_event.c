/* Event functions. Streams have the new-buffer event; its queue is the stream's output queue. */
#include <string.h>

#include "answer.h"
#include "clock.h"
#include "event.h"
#include "library.h"

static GC_ERROR register_new_buffer(struct camera *camera, EVENT_HANDLE *event) {
    struct stream *stream = &camera->stream;
    if (stream->event != NULL) {
        return fail(GC_ERR_RESOURCE_IN_USE, "the new-buffer event is registered already");
    }
    void *handle = handle_new(HANDLE_EVENT, camera);
    if (handle == NULL) {
        return fail(GC_ERR_RESOURCE_EXHAUSTED, "no handle left");
    }
    pthread_mutex_lock(&camera->mutex);
    stream->event = *event = handle;
    stream->is_event_closing = false;
    stream->kills = 0;
    stream->fired = 0;
    pthread_mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}

/* Lock the library and find the stream an event call is about. Other modules exist but have no events. */
static GC_ERROR enter_source(EVENTSRC_HANDLE source, EVENT_TYPE type, struct camera **camera) {
    if (type < 0 || type > 5) {
        return fail(GC_ERR_INVALID_PARAMETER, "event type %d", type);
    }
    if (handle_kind_of(source) == 0) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no open module", source);
    }
    if (handle_kind_of(source) != HANDLE_STREAM || type != EVENT_NEW_BUFFER) {
        return fail(GC_ERR_NOT_IMPLEMENTED, "event type %d exists on no such module", type);
    }
    GC_ERROR code = library_enter(source, HANDLE_STREAM);
    if (code == GC_ERR_SUCCESS) {
        *camera = handle_pin(source, HANDLE_STREAM);
        handle_unpin(source);
    }
    return code;
}

GC_API GCRegisterEvent(EVENTSRC_HANDLE source, EVENT_TYPE type, EVENT_HANDLE *event) {
    struct camera *camera = NULL;
    if (event == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    }
    GC_ERROR code = enter_source(source, type, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = register_new_buffer(camera, event);
        library_leave();
    }
    return code;
}

void event_close(struct camera *camera) {
    struct stream *stream = &camera->stream;
    void *handle = stream->event;
    if (handle == NULL || handle_retire(handle, HANDLE_EVENT) == NULL) {
        return;
    }
    pthread_mutex_lock(&camera->mutex);
    stream->is_event_closing = true;
    stream->event = NULL;
    pthread_cond_broadcast(&stream->delivered);
    pthread_mutex_unlock(&camera->mutex);
    handle_free(handle);
}

GC_API GCUnregisterEvent(EVENTSRC_HANDLE source, EVENT_TYPE type) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_source(source, type, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = camera->stream.event != NULL ? GC_ERR_SUCCESS
                                            : fail(GC_ERR_INVALID_PARAMETER, "the event is not registered");
        event_close(camera);
        library_leave();
    }
    return code;
}

/* Pin the event and lock its camera; on failure neither. */
static GC_ERROR enter_event(EVENT_HANDLE event, struct camera **camera) {
    *camera = handle_pin(event, HANDLE_EVENT);
    if (*camera == NULL) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no registered event", event);
    }
    pthread_mutex_lock(&(*camera)->mutex);
    return GC_ERR_SUCCESS;
}

static void leave_event(EVENT_HANDLE event, struct camera *camera) {
    pthread_mutex_unlock(&camera->mutex);
    handle_unpin(event);
}

/* CLOCK_MONOTONIC when a timeout ends; UINT64_MAX for an endless one. */
static uint64_t deadline_ns(uint64_t timeout_ms) {
    uint64_t now_ns = clock_now_ns();
    return timeout_ms > (UINT64_MAX - now_ns) / 1000000 ? UINT64_MAX : now_ns + timeout_ms * 1000000;
}

static GC_ERROR wait_for_buffer(struct camera *camera, uint64_t timeout_ms) {
    struct stream *stream = &camera->stream;
    uint64_t until_ns = deadline_ns(timeout_ms);
    struct timespec until = clock_timespec(until_ns);
    while (true) {
        if (stream->is_event_closing) {
            return fail(GC_ERR_ABORT, "the event is being unregistered");
        }
        if (stream->kills > 0) {
            stream->kills--;
            return fail(GC_ERR_ABORT, "EventKill ended the wait");
        }
        if (stream->output.count > 0) {
            return GC_ERR_SUCCESS;
        }
        if (clock_now_ns() >= until_ns) {
            return fail(GC_ERR_TIMEOUT, "no new buffer in %llu ms", (unsigned long long)timeout_ms);
        }
        if (until_ns == UINT64_MAX) {
            pthread_cond_wait(&stream->delivered, &camera->mutex);
        } else {
            pthread_cond_timedwait(&stream->delivered, &camera->mutex, &until);
        }
    }
}

GC_API EventGetData(EVENT_HANDLE event, void *buffer, size_t *size, uint64_t timeout_ms) {
    struct camera *camera = NULL;
    if (size == NULL || (buffer != NULL && *size < sizeof(EVENT_NEW_BUFFER_DATA))) {
        return size == NULL ? fail(GC_ERR_INVALID_PARAMETER, "the size pointer is NULL")
                            : fail(GC_ERR_BUFFER_TOO_SMALL, "%zu bytes needed, %zu given",
                                   sizeof(EVENT_NEW_BUFFER_DATA), *size);
    }
    GC_ERROR code = enter_event(event, &camera);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    code = wait_for_buffer(camera, timeout_ms);
    if (code == GC_ERR_SUCCESS) {
        struct buffer *filled = queue_pop(&camera->stream.output);
        EVENT_NEW_BUFFER_DATA data = {filled->handle, filled->user};
        filled->place = BUFFER_UNQUEUED;
        *size = sizeof data;
        if (buffer != NULL) {
            memcpy(buffer, &data, sizeof data);
        }
    }
    leave_event(event, camera);
    return code;
}

GC_API EventGetDataInfo(EVENT_HANDLE event, const void *data, size_t data_size, EVENT_DATA_INFO_CMD command,
                        INFO_DATATYPE *type, void *out, size_t *out_size) {
    EVENT_NEW_BUFFER_DATA fields;
    if (handle_kind_of(event) != HANDLE_EVENT) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no registered event", event);
    }
    if (data == NULL || data_size < sizeof fields) {
        return fail(GC_ERR_INVALID_PARAMETER, "the event data is too short: %zu bytes", data_size);
    }
    memcpy(&fields, data, sizeof fields);
    switch (command) {
    case EVENT_DATA_ID:
        return answer_pointer(fields.BufferHandle, type, out, out_size);
    case EVENT_DATA_VALUE:
        return answer_pointer(fields.pUserPointer, type, out, out_size);
    default:
        return fail(GC_ERR_NOT_AVAILABLE, "event data info %d", command);
    }
}

static GC_ERROR event_info(const struct stream *stream, EVENT_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                           size_t *size) {
    switch (command) {
    case EVENT_EVENT_TYPE:
        return answer_int32(EVENT_NEW_BUFFER, type, buffer, size);
    case EVENT_NUM_IN_QUEUE:
        return answer_size(stream->output.count, type, buffer, size);
    case EVENT_NUM_FIRED:
        return answer_uint64(stream->fired, type, buffer, size);
    case EVENT_SIZE_MAX:
        return answer_size(sizeof(EVENT_NEW_BUFFER_DATA), type, buffer, size);
    case EVENT_INFO_DATA_SIZE_MAX:
        return answer_size(sizeof(void *), type, buffer, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "event info %d", command);
    }
}

GC_API EventGetInfo(EVENT_HANDLE event, EVENT_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                    size_t *size) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_event(event, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = event_info(&camera->stream, command, type, buffer, size);
        leave_event(event, camera);
    }
    return code;
}

GC_API EventFlush(EVENT_HANDLE event) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_event(event, &camera);
    if (code == GC_ERR_SUCCESS) {
        stream_move_all(&camera->stream.output, NULL, BUFFER_UNQUEUED);
        leave_event(event, camera);
    }
    return code;
}

GC_API EventKill(EVENT_HANDLE event) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_event(event, &camera);
    if (code == GC_ERR_SUCCESS) {
        camera->stream.kills++;
        pthread_cond_broadcast(&camera->stream.delivered);
        leave_event(event, camera);
    }
    return code;
}

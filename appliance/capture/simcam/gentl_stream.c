/* DS functions about the stream: announce, queue, start, stop, flush, revoke, count. */
#include <stdlib.h>

#include "answer.h"
#include "library.h"
#include "registers.h"

/* Every byte is written by memcpy or one at a time, so any address will do. */
enum { BUFFER_ALIGNMENT = 1, BUFFERS_MIN = 2 };

/* Pin the stream and lock its camera; on failure neither. */
static GC_ERROR enter_stream(DS_HANDLE stream, struct camera **camera) {
    *camera = handle_pin(stream, HANDLE_STREAM);
    if (*camera == NULL) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no open data stream", stream);
    }
    pthread_mutex_lock(&(*camera)->mutex);
    return GC_ERR_SUCCESS;
}

static void leave_stream(DS_HANDLE stream, struct camera *camera) {
    pthread_mutex_unlock(&camera->mutex);
    handle_unpin(stream);
}

/* The buffer of a handle if this stream announced it; with the camera locked. */
static struct buffer *find_buffer(const struct camera *camera, BUFFER_HANDLE handle) {
    struct buffer *buffer = camera->stream.announced;
    while (buffer != NULL && buffer->handle != handle) {
        buffer = buffer->next_announced;
    }
    return buffer;
}

static GC_ERROR no_buffer(BUFFER_HANDLE handle) {
    return fail(GC_ERR_INVALID_HANDLE, "%p is no announced buffer of this stream", handle);
}

GC_API DSClose(DS_HANDLE stream) {
    GC_ERROR code = library_enter(stream, HANDLE_STREAM);
    if (code == GC_ERR_SUCCESS) {
        struct camera *camera = handle_pin(stream, HANDLE_STREAM);
        handle_unpin(stream);
        library_close_stream(camera);
        library_leave();
    }
    return code;
}

GC_API DSGetParentDev(DS_HANDLE stream, DEV_HANDLE *device) {
    struct camera *camera = NULL;
    if (device == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    }
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        *device = camera->device;
        leave_stream(stream, camera);
    }
    return code;
}

static GC_ERROR stream_info(struct camera *camera, STREAM_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                            size_t *size) {
    const struct stream *stream = &camera->stream;
    switch (command) {
    case STREAM_INFO_ID:
        return answer_text(STREAM_ID, type, buffer, size);
    case STREAM_INFO_NUM_DELIVERED:
        return answer_uint64(stream->num_delivered, type, buffer, size);
    case STREAM_INFO_NUM_UNDERRUN:
        return answer_uint64(stream->num_underrun, type, buffer, size);
    case STREAM_INFO_NUM_ANNOUNCED:
        return answer_size(stream->num_announced, type, buffer, size);
    case STREAM_INFO_NUM_QUEUED:
        return answer_size(stream->input.count + (stream->in_hand != NULL), type, buffer, size);
    case STREAM_INFO_NUM_AWAIT_DELIVERY:
        return answer_size(stream->output.count, type, buffer, size);
    case STREAM_INFO_NUM_STARTED:
        return answer_uint64(stream->num_started, type, buffer, size);
    case STREAM_INFO_PAYLOAD_SIZE:
        return answer_size(features_payload_bytes(camera), type, buffer, size);
    case STREAM_INFO_IS_GRABBING:
        return answer_bool(stream->is_grabbing, type, buffer, size);
    case STREAM_INFO_DEFINES_PAYLOADSIZE:
        return answer_bool(true, type, buffer, size);
    case STREAM_INFO_TLTYPE:
        return answer_text(TL_TYPE, type, buffer, size);
    case STREAM_INFO_NUM_CHUNKS_MAX:
        return answer_size(CHUNKS + 1, type, buffer, size);
    case STREAM_INFO_BUF_ANNOUNCE_MIN:
        return answer_size(BUFFERS_MIN, type, buffer, size);
    case STREAM_INFO_BUF_ALIGNMENT:
        return answer_size(BUFFER_ALIGNMENT, type, buffer, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "stream info %d", command);
    }
}

GC_API DSGetInfo(DS_HANDLE stream, STREAM_INFO_CMD command, INFO_DATATYPE *type, void *buffer, size_t *size) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = stream_info(camera, command, type, buffer, size);
        leave_stream(stream, camera);
    }
    return code;
}

static GC_ERROR announce(struct camera *camera, void *base, size_t size, void *user, bool is_owned,
                         BUFFER_HANDLE *out) {
    struct buffer *buffer = stream_announce(&camera->stream, base, size, user, is_owned);
    if (buffer == NULL) {
        return fail(GC_ERR_OUT_OF_MEMORY, "no memory for a buffer");
    }
    buffer->handle = handle_new(HANDLE_BUFFER, buffer);
    *out = buffer->handle;
    if (buffer->handle == NULL) {
        buffer->is_owned = false; /* the caller of this function frees what it allocated */
        stream_forget(&camera->stream, buffer);
        return fail(GC_ERR_RESOURCE_EXHAUSTED, "no handle left");
    }
    return GC_ERR_SUCCESS;
}

GC_API DSAnnounceBuffer(DS_HANDLE stream, void *base, size_t size, void *user, BUFFER_HANDLE *buffer) {
    struct camera *camera = NULL;
    if (base == NULL || size == 0 || buffer == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "a buffer needs memory, a size and a handle pointer");
    }
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = announce(camera, base, size, user, false, buffer);
        leave_stream(stream, camera);
    }
    return code;
}

GC_API DSAllocAndAnnounceBuffer(DS_HANDLE stream, size_t size, void *user, BUFFER_HANDLE *buffer) {
    struct camera *camera = NULL;
    if (size == 0 || buffer == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "a buffer needs a size and a handle pointer");
    }
    void *base = calloc(1, size);
    if (base == NULL) {
        return fail(GC_ERR_OUT_OF_MEMORY, "no memory for %zu bytes", size);
    }
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = announce(camera, base, size, user, true, buffer);
        leave_stream(stream, camera);
    }
    if (code != GC_ERR_SUCCESS) {
        free(base);
    }
    return code;
}

static GC_ERROR revoke(struct camera *camera, BUFFER_HANDLE handle, void **base, void **user) {
    struct buffer *buffer = find_buffer(camera, handle);
    if (buffer == NULL) {
        return no_buffer(handle);
    }
    if (buffer->place != BUFFER_UNQUEUED) {
        return fail(GC_ERR_BUSY, "the buffer is queued; flush first");
    }
    if (base != NULL) {
        *base = buffer->is_owned ? NULL : buffer->base;
    }
    if (user != NULL) {
        *user = buffer->user;
    }
    handle_retire(handle, HANDLE_BUFFER);
    handle_free(handle);
    stream_forget(&camera->stream, buffer);
    return GC_ERR_SUCCESS;
}

GC_API DSRevokeBuffer(DS_HANDLE stream, BUFFER_HANDLE buffer, void **base, void **user) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = revoke(camera, buffer, base, user);
        leave_stream(stream, camera);
    }
    return code;
}

static GC_ERROR queue_buffer(struct camera *camera, BUFFER_HANDLE handle) {
    struct buffer *buffer = find_buffer(camera, handle);
    if (buffer == NULL) {
        return no_buffer(handle);
    }
    if (buffer->place != BUFFER_UNQUEUED) {
        return fail(GC_ERR_RESOURCE_IN_USE, "the buffer is queued already");
    }
    buffer->place = BUFFER_INPUT;
    buffer->frame = (struct frame){0};
    queue_push(&camera->stream.input, buffer);
    return GC_ERR_SUCCESS;
}

GC_API DSQueueBuffer(DS_HANDLE stream, BUFFER_HANDLE buffer) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = queue_buffer(camera, buffer);
        leave_stream(stream, camera);
    }
    return code;
}

GC_API DSGetBufferID(DS_HANDLE stream, uint32_t index, BUFFER_HANDLE *buffer) {
    struct camera *camera = NULL;
    if (buffer == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    }
    GC_ERROR code = enter_stream(stream, &camera);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    struct buffer *at = camera->stream.announced;
    for (uint32_t i = 0; at != NULL && i < index; i++) {
        at = at->next_announced;
    }
    if (at != NULL) {
        *buffer = at->handle;
    } else {
        code = fail(GC_ERR_INVALID_INDEX, "buffer %u of %zu", index, camera->stream.num_announced);
    }
    leave_stream(stream, camera);
    return code;
}

/* Wait until the camera's thread no longer writes pixels, and take back a frame whose transfer has not ended. */
static void settle(struct camera *camera) {
    while (camera->stream.in_hand != NULL && camera->stream.in_hand->place == BUFFER_FILLING) {
        pthread_cond_wait(&camera->changed, &camera->mutex);
    }
    stream_cancel_transfer(&camera->stream);
}

static void queue_unqueued(struct stream *stream) {
    for (struct buffer *buffer = stream->announced; buffer != NULL; buffer = buffer->next_announced) {
        if (buffer->place == BUFFER_UNQUEUED) {
            buffer->place = BUFFER_INPUT;
            buffer->frame = (struct frame){0};
            queue_push(&stream->input, buffer);
        }
    }
}

static GC_ERROR flush(struct camera *camera, ACQ_QUEUE_TYPE operation) {
    struct stream *stream = &camera->stream;
    switch (operation) {
    case ACQ_QUEUE_INPUT_TO_OUTPUT:
        settle(camera);
        stream_move_all(&stream->input, &stream->output, BUFFER_OUTPUT);
        pthread_cond_broadcast(&stream->delivered);
        return GC_ERR_SUCCESS;
    case ACQ_QUEUE_OUTPUT_DISCARD:
        stream_move_all(&stream->output, NULL, BUFFER_UNQUEUED);
        return GC_ERR_SUCCESS;
    case ACQ_QUEUE_ALL_TO_INPUT:
        stream_move_all(&stream->output, &stream->input, BUFFER_INPUT);
        queue_unqueued(stream);
        return GC_ERR_SUCCESS;
    case ACQ_QUEUE_UNQUEUED_TO_INPUT:
        queue_unqueued(stream);
        return GC_ERR_SUCCESS;
    case ACQ_QUEUE_ALL_DISCARD:
        settle(camera);
        stream_move_all(&stream->input, NULL, BUFFER_UNQUEUED);
        stream_move_all(&stream->output, NULL, BUFFER_UNQUEUED);
        return GC_ERR_SUCCESS;
    default:
        return fail(GC_ERR_INVALID_PARAMETER, "flush operation %d", operation);
    }
}

GC_API DSFlushQueue(DS_HANDLE stream, ACQ_QUEUE_TYPE operation) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = flush(camera, operation);
        leave_stream(stream, camera);
    }
    return code;
}

static GC_ERROR start(struct camera *camera, uint64_t count) {
    struct stream *stream = &camera->stream;
    if (stream->is_grabbing) {
        return fail(GC_ERR_RESOURCE_IN_USE, "the acquisition engine runs already");
    }
    if (stream->num_announced < BUFFERS_MIN) {
        return fail(GC_ERR_INVALID_BUFFER, "%d buffers at least, %zu announced", BUFFERS_MIN, stream->num_announced);
    }
    stream->is_grabbing = true;
    stream->deliveries_left = count == 0 ? GENTL_INFINITE : count;
    stream->num_delivered = stream->num_underrun = stream->num_started = 0;
    return GC_ERR_SUCCESS;
}

GC_API DSStartAcquisition(DS_HANDLE stream, ACQ_START_FLAGS flags, uint64_t count) {
    struct camera *camera = NULL;
    if (flags != ACQ_START_FLAGS_DEFAULT) {
        return fail(GC_ERR_INVALID_PARAMETER, "start flags %d", flags);
    }
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = start(camera, count);
        leave_stream(stream, camera);
    }
    return code;
}

GC_API DSStopAcquisition(DS_HANDLE stream, ACQ_STOP_FLAGS flags) {
    struct camera *camera = NULL;
    if (flags != ACQ_STOP_FLAGS_DEFAULT && flags != ACQ_STOP_FLAGS_KILL) {
        return fail(GC_ERR_INVALID_PARAMETER, "stop flags %d", flags);
    }
    GC_ERROR code = enter_stream(stream, &camera);
    if (code == GC_ERR_SUCCESS) {
        settle(camera);
        code = camera->stream.is_grabbing ? GC_ERR_SUCCESS
                                          : fail(GC_ERR_RESOURCE_IN_USE, "the acquisition engine does not run");
        camera->stream.is_grabbing = false;
        leave_stream(stream, camera);
    }
    return code;
}

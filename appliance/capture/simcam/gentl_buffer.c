/* DS functions about one buffer: what it holds and where its chunks lie. */
#include "answer.h"
#include "library.h"

/* Lock the camera and find the buffer; on failure nothing is pinned or locked. */
static GC_ERROR enter_buffer(DS_HANDLE stream, BUFFER_HANDLE handle, struct camera **camera,
                             struct buffer **buffer) {
    *camera = handle_pin(stream, HANDLE_STREAM);
    if (*camera == NULL) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no open data stream", stream);
    }
    pthread_mutex_lock(&(*camera)->mutex);
    *buffer = (*camera)->stream.announced;
    while (*buffer != NULL && (*buffer)->handle != handle) {
        *buffer = (*buffer)->next_announced;
    }
    if (*buffer == NULL) {
        pthread_mutex_unlock(&(*camera)->mutex);
        handle_unpin(stream);
        return fail(GC_ERR_INVALID_HANDLE, "%p is no announced buffer of this stream", handle);
    }
    return GC_ERR_SUCCESS;
}

static void leave_buffer(DS_HANDLE stream, struct camera *camera) {
    pthread_mutex_unlock(&camera->mutex);
    handle_unpin(stream);
}

/* Changes whenever a parser of the chunks must look again: geometry, format, enabled chunks. */
static uint64_t layout_id(const struct frame *frame) {
    return ((uint64_t)frame->image_bytes << 8) | frame->chunk_mask | 1u << 7;
}

static size_t chunk_bytes(const struct frame *frame) {
    return frame->has_chunks ? chunk_payload_bytes(frame->image_bytes, frame->chunk_mask) : 0;
}

/* What is true of a buffer whether or not it holds a frame. */
static GC_ERROR memory_info(const struct buffer *buffer, BUFFER_INFO_CMD command, INFO_DATATYPE *type, void *out,
                            size_t *size) {
    const struct frame *frame = &buffer->frame;
    bool is_acquiring = buffer->place == BUFFER_FILLING || buffer->place == BUFFER_TRANSFER;
    switch (command) {
    case BUFFER_INFO_BASE:
        return answer_pointer(buffer->base, type, out, size);
    case BUFFER_INFO_SIZE:
        return answer_size(buffer->size, type, out, size);
    case BUFFER_INFO_USER_PTR:
        return answer_pointer(buffer->user, type, out, size);
    case BUFFER_INFO_NEW_DATA:
        return answer_bool(frame->is_new && !is_acquiring, type, out, size);
    case BUFFER_INFO_IS_QUEUED:
        return answer_bool(buffer->place != BUFFER_UNQUEUED, type, out, size);
    case BUFFER_INFO_IS_ACQUIRING:
        return answer_bool(is_acquiring, type, out, size);
    case BUFFER_INFO_IS_INCOMPLETE:
        return answer_bool(frame->is_incomplete, type, out, size);
    case BUFFER_INFO_TLTYPE:
        return answer_text(TL_TYPE, type, out, size);
    case BUFFER_INFO_SIZE_FILLED:
        return answer_size(frame->size_filled, type, out, size);
    case BUFFER_INFO_DATA_SIZE:
        return answer_size(frame->data_size, type, out, size);
    case BUFFER_INFO_DATA_LARGER_THAN_BUFFER:
        return answer_bool(frame->is_larger_than_buffer, type, out, size);
    case BUFFER_INFO_CONTAINS_CHUNKDATA:
        return answer_bool(frame->has_chunks, type, out, size);
    case BUFFER_INFO_IS_COMPOSITE:
        return answer_bool(false, type, out, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "buffer info %d", command);
    }
}

/* What only a delivered frame has. */
static GC_ERROR frame_info(const struct frame *frame, BUFFER_INFO_CMD command, INFO_DATATYPE *type, void *out,
                           size_t *size) {
    switch (command) {
    case BUFFER_INFO_TIMESTAMP:
    case BUFFER_INFO_TIMESTAMP_NS:
        return answer_uint64(frame->timestamp_ns, type, out, size);
    case BUFFER_INFO_WIDTH:
        return answer_size(frame->width, type, out, size);
    case BUFFER_INFO_HEIGHT:
        return answer_size(frame->height, type, out, size);
    case BUFFER_INFO_XOFFSET:
        return answer_size(frame->offset_x, type, out, size);
    case BUFFER_INFO_YOFFSET:
        return answer_size(frame->offset_y, type, out, size);
    case BUFFER_INFO_XPADDING:
    case BUFFER_INFO_YPADDING:
    case BUFFER_INFO_IMAGEOFFSET:
        return answer_size(0, type, out, size);
    case BUFFER_INFO_FRAMEID:
        return answer_uint64(frame->frame_id, type, out, size);
    case BUFFER_INFO_IMAGEPRESENT:
        return answer_bool(true, type, out, size);
    case BUFFER_INFO_PAYLOADTYPE:
        return answer_size(PAYLOAD_TYPE_IMAGE, type, out, size);
    case BUFFER_INFO_PIXELFORMAT:
        return answer_uint64(frame->pixel_format, type, out, size);
    case BUFFER_INFO_PIXELFORMAT_NAMESPACE:
        return answer_uint64(PIXELFORMAT_NAMESPACE_PFNC_32BIT, type, out, size);
    case BUFFER_INFO_DELIVERED_IMAGEHEIGHT:
        return answer_size(frame->rows_delivered, type, out, size);
    case BUFFER_INFO_DELIVERED_CHUNKPAYLOADSIZE:
        return answer_size(chunk_bytes(frame), type, out, size);
    case BUFFER_INFO_CHUNKLAYOUTID:
        return answer_uint64(frame->has_chunks ? layout_id(frame) : 0, type, out, size);
    case BUFFER_INFO_PIXEL_ENDIANNESS:
        return answer_int32(PIXELENDIANNESS_LITTLE, type, out, size);
    default:
        return fail(GC_ERR_NOT_AVAILABLE, "buffer info %d", command);
    }
}

static GC_ERROR buffer_info(const struct buffer *buffer, BUFFER_INFO_CMD command, INFO_DATATYPE *type, void *out,
                            size_t *size) {
    GC_ERROR code = memory_info(buffer, command, type, out, size);
    if (code != GC_ERR_NOT_IMPLEMENTED) {
        return code;
    }
    if (!buffer->frame.is_new || buffer->place == BUFFER_FILLING || buffer->place == BUFFER_TRANSFER) {
        return fail(GC_ERR_NOT_AVAILABLE, "buffer info %d: the buffer holds no frame", command);
    }
    return frame_info(&buffer->frame, command, type, out, size);
}

GC_API DSGetBufferInfo(DS_HANDLE stream, BUFFER_HANDLE handle, BUFFER_INFO_CMD command, INFO_DATATYPE *type,
                       void *out, size_t *size) {
    struct camera *camera = NULL;
    struct buffer *buffer = NULL;
    GC_ERROR code = enter_buffer(stream, handle, &camera, &buffer);
    if (code == GC_ERR_SUCCESS) {
        code = buffer_info(buffer, command, type, out, size);
        leave_buffer(stream, camera);
    }
    return code;
}

GC_API DSGetBufferInfoStacked(DS_HANDLE stream, BUFFER_HANDLE handle, DS_BUFFER_INFO_STACKED *entries,
                              size_t count) {
    struct camera *camera = NULL;
    struct buffer *buffer = NULL;
    if (entries == NULL || count == 0) {
        return fail(GC_ERR_INVALID_PARAMETER, "no entries to fill");
    }
    GC_ERROR code = enter_buffer(stream, handle, &camera, &buffer);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        DS_BUFFER_INFO_STACKED entry = entries[i];
        entry.iResult = buffer_info(buffer, entry.iInfoCmd, &entry.iType, entry.pBuffer, &entry.iSize);
        code = code == GC_ERR_SUCCESS ? entry.iResult : code;
        entries[i] = entry;
    }
    leave_buffer(stream, camera);
    return code;
}

static GC_ERROR chunk_data(const struct frame *frame, SINGLE_CHUNK_DATA *chunks, size_t *count) {
    struct chunk_place places[CHUNKS + 1];
    if (!frame->has_chunks) {
        return fail(GC_ERR_NO_DATA, "the buffer holds no chunk data");
    }
    size_t needed = chunk_places(frame->image_bytes, frame->chunk_mask, places);
    if (chunks != NULL && *count < needed) {
        *count = needed;
        return fail(GC_ERR_BUFFER_TOO_SMALL, "%zu chunks", needed);
    }
    for (size_t i = 0; chunks != NULL && i < needed; i++) {
        chunks[i] = (SINGLE_CHUNK_DATA){
            .ChunkID = places[i].id,
            .ChunkOffset = (ptrdiff_t)places[i].offset,
            .ChunkLength = places[i].length,
        };
    }
    *count = needed;
    return GC_ERR_SUCCESS;
}

GC_API DSGetBufferChunkData(DS_HANDLE stream, BUFFER_HANDLE handle, SINGLE_CHUNK_DATA *chunks, size_t *count) {
    struct camera *camera = NULL;
    struct buffer *buffer = NULL;
    if (count == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
    }
    GC_ERROR code = enter_buffer(stream, handle, &camera, &buffer);
    if (code == GC_ERR_SUCCESS) {
        code = chunk_data(&buffer->frame, chunks, count);
        leave_buffer(stream, camera);
    }
    return code;
}

/* The data stream: announced buffers, the input pool, the output queue that EventGetData empties.
 *
 *   place      how a buffer gets there                         who may touch its memory
 *   UNQUEUED   announced, delivered by EventGetData, flushed   the application
 *   INPUT      DSQueueBuffer                                   nobody
 *   FILLING    the camera took the oldest of INPUT             the camera
 *   TRANSFER   pixels are written, the delivery time is ahead  nobody; a flush may take it back
 *   OUTPUT     delivered, waits for EventGetData               nobody
 *
 * Everything here expects the camera's mutex held.
 */
#ifndef SIMCAM_STREAM_H
#define SIMCAM_STREAM_H

#include <pthread.h>
#include <stdbool.h>

#include "chunk.h"
#include "gentl.h"

enum buffer_place { BUFFER_UNQUEUED, BUFFER_INPUT, BUFFER_FILLING, BUFFER_TRANSFER, BUFFER_OUTPUT };

/* What a buffer holds, as DSGetBufferInfo tells it. */
struct frame {
    bool is_new, is_incomplete, is_larger_than_buffer, has_chunks;
    uint64_t frame_id, timestamp_ns;
    uint32_t width, height, offset_x, offset_y, pixel_format, rows_delivered, chunk_mask;
    size_t image_bytes, data_size, size_filled;
};

struct buffer {
    BUFFER_HANDLE handle;
    uint8_t *base;
    size_t size;
    void *user;
    bool is_owned; /* DSAllocAndAnnounceBuffer */
    enum buffer_place place;
    struct frame frame;
    struct buffer *next_announced;
    struct buffer *next_queued;
};

struct queue {
    struct buffer *head, *tail;
    size_t count;
};

struct stream {
    DS_HANDLE handle; /* NULL: closed */
    EVENT_HANDLE event;
    pthread_cond_t delivered;
    uint32_t kills;         /* EventKill calls that no EventGetData has answered yet */
    bool is_event_closing;  /* every waiter must leave */
    uint64_t fired;
    bool is_grabbing;
    uint64_t deliveries_left; /* DSStartAcquisition's number; UINT64_MAX: endless */
    uint64_t num_delivered, num_underrun, num_started;
    struct buffer *announced;
    size_t num_announced;
    struct queue input, output;
    struct buffer *in_hand; /* FILLING or TRANSFER */
};

void queue_push(struct queue *queue, struct buffer *buffer);
struct buffer *queue_pop(struct queue *queue);

struct buffer *stream_announce(struct stream *stream, void *base, size_t size, void *user, bool is_owned);
void stream_forget(struct stream *stream, struct buffer *buffer);

/* Move every buffer of `queue` elsewhere: to another queue, or out (`to` NULL). */
void stream_move_all(struct queue *from, struct queue *to, enum buffer_place place);

/* Take back the buffer that is in TRANSFER, if any. */
void stream_cancel_transfer(struct stream *stream);

/* Put a filled buffer in the output queue and wake EventGetData. */
void stream_deliver(struct stream *stream, struct buffer *buffer);

#endif

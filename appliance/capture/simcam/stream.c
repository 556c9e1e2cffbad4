#include "stream.h"

#include <stdlib.h>

void queue_push(struct queue *queue, struct buffer *buffer) {
    buffer->next_queued = NULL;
    if (queue->tail != NULL) {
        queue->tail->next_queued = buffer;
    } else {
        queue->head = buffer;
    }
    queue->tail = buffer;
    queue->count++;
}

struct buffer *queue_pop(struct queue *queue) {
    struct buffer *buffer = queue->head;
    if (buffer != NULL) {
        queue->head = buffer->next_queued;
        queue->tail = queue->head == NULL ? NULL : queue->tail;
        queue->count--;
        buffer->next_queued = NULL;
    }
    return buffer;
}

struct buffer *stream_announce(struct stream *stream, void *base, size_t size, void *user, bool is_owned) {
    struct buffer *buffer = calloc(1, sizeof *buffer);
    if (buffer == NULL) {
        return NULL;
    }
    *buffer = (struct buffer){.base = base, .size = size, .user = user, .is_owned = is_owned};
    struct buffer **last = &stream->announced;
    while (*last != NULL) {
        last = &(*last)->next_announced;
    }
    *last = buffer;
    stream->num_announced++;
    return buffer;
}

void stream_forget(struct stream *stream, struct buffer *buffer) {
    for (struct buffer **link = &stream->announced; *link != NULL; link = &(*link)->next_announced) {
        if (*link == buffer) {
            *link = buffer->next_announced;
            stream->num_announced--;
            break;
        }
    }
    if (buffer->is_owned) {
        free(buffer->base);
    }
    free(buffer);
}

void stream_move_all(struct queue *from, struct queue *to, enum buffer_place place) {
    for (struct buffer *buffer = queue_pop(from); buffer != NULL; buffer = queue_pop(from)) {
        buffer->place = place;
        buffer->frame = (struct frame){0};
        if (to != NULL) {
            queue_push(to, buffer);
        }
    }
}

void stream_cancel_transfer(struct stream *stream) {
    struct buffer *buffer = stream->in_hand;
    if (buffer != NULL && buffer->place == BUFFER_TRANSFER) {
        buffer->place = BUFFER_INPUT;
        buffer->frame = (struct frame){0};
        queue_push(&stream->input, buffer);
        stream->in_hand = NULL;
    }
}

void stream_deliver(struct stream *stream, struct buffer *buffer) {
    buffer->place = BUFFER_OUTPUT;
    stream->in_hand = NULL;
    stream->num_delivered++;
    stream->fired++;
    queue_push(&stream->output, buffer);
    pthread_cond_signal(&stream->delivered);
}

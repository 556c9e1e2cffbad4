#include "library.h"

#include "answer.h"
#include "event.h"

struct library library = {.mutex = PTHREAD_MUTEX_INITIALIZER};

GC_ERROR library_enter(void *handle, enum handle_kind kind) {
    pthread_mutex_lock(&library.mutex);
    if (!library.is_initialised) {
        pthread_mutex_unlock(&library.mutex);
        return fail(GC_ERR_NOT_INITIALIZED, "GCInitLib was not called");
    }
    if (handle_kind_of(handle) != kind) {
        pthread_mutex_unlock(&library.mutex);
        return fail(GC_ERR_INVALID_HANDLE, "%p is no open module of the kind this call needs", handle);
    }
    return GC_ERR_SUCCESS;
}

void library_leave(void) {
    pthread_mutex_unlock(&library.mutex);
}

static void wait_for_filling(struct camera *camera) {
    while (camera->stream.in_hand != NULL && camera->stream.in_hand->place == BUFFER_FILLING) {
        pthread_cond_wait(&camera->changed, &camera->mutex);
    }
}

void library_close_stream(struct camera *camera) {
    struct stream *stream = &camera->stream;
    void *handle = stream->handle;
    if (handle == NULL || handle_retire(handle, HANDLE_STREAM) == NULL) {
        return;
    }
    event_close(camera);
    handle_free(handle);
    pthread_mutex_lock(&camera->mutex);
    stream->is_grabbing = false;
    wait_for_filling(camera);
    stream->in_hand = NULL;
    while (stream->announced != NULL) {
        void *buffer = stream->announced->handle;
        handle_retire(buffer, HANDLE_BUFFER);
        handle_free(buffer);
        stream_forget(stream, stream->announced);
    }
    stream->input = stream->output = (struct queue){0};
    stream->handle = NULL;
    pthread_mutex_unlock(&camera->mutex);
}

void library_close_device(struct camera *camera) {
    if (camera->device == NULL) {
        return;
    }
    library_close_stream(camera);
    handle_retire(camera->device, HANDLE_DEVICE);
    handle_retire(camera->port, HANDLE_PORT);
    handle_free(camera->device);
    handle_free(camera->port);
    camera->device = camera->port = NULL;
    camera_close(camera);
}

void library_close_interface(void) {
    if (library.interface == NULL) {
        return;
    }
    for (uint32_t i = 0; i < library.settings.count; i++) {
        library_close_device(&library.cameras[i]);
    }
    handle_retire(library.interface, HANDLE_INTERFACE);
    handle_free(library.interface);
    library.interface = NULL;
    library.listed_count = 0;
}

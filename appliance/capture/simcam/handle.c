#include "handle.h"

#include <pthread.h>
#include <stdint.h>

enum { PLACES = 16384 };

struct place {
    void *object;
    uint32_t generation;
    uint32_t pins;
    enum handle_kind kind;
    bool is_retired;
};

static struct place places[PLACES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t unpinned = PTHREAD_COND_INITIALIZER;

static void *handle_of(const struct place *place) {
    uintptr_t index = (uintptr_t)(place - places) + 1;
    return (void *)(((uintptr_t)place->generation << 20) | (index << 4));
}

/* The place a handle names, or NULL. Call with the mutex held. */
static struct place *place_of(void *handle) {
    uintptr_t index = ((uintptr_t)handle >> 4) & 0xFFFF;
    if (index == 0 || index > PLACES) {
        return NULL;
    }
    struct place *place = &places[index - 1];
    return place->kind != 0 && handle_of(place) == handle ? place : NULL;
}

void *handle_new(enum handle_kind kind, void *object) {
    void *handle = NULL;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < PLACES && handle == NULL; i++) {
        if (places[i].kind == 0) {
            uint32_t generation = (places[i].generation + 1) & 0x7FFFFF;
            places[i] = (struct place){.object = object, .generation = generation ? generation : 1, .kind = kind};
            handle = handle_of(&places[i]);
        }
    }
    pthread_mutex_unlock(&mutex);
    return handle;
}

void *handle_pin(void *handle, enum handle_kind kind) {
    void *object = NULL;
    pthread_mutex_lock(&mutex);
    struct place *place = place_of(handle);
    if (place != NULL && place->kind == kind && !place->is_retired) {
        place->pins++;
        object = place->object;
    }
    pthread_mutex_unlock(&mutex);
    return object;
}

void handle_unpin(void *handle) {
    pthread_mutex_lock(&mutex);
    struct place *place = place_of(handle);
    if (place != NULL && --place->pins == 0 && place->is_retired) {
        pthread_cond_broadcast(&unpinned);
    }
    pthread_mutex_unlock(&mutex);
}

enum handle_kind handle_kind_of(void *handle) {
    pthread_mutex_lock(&mutex);
    struct place *place = place_of(handle);
    enum handle_kind kind = place != NULL && !place->is_retired ? place->kind : 0;
    pthread_mutex_unlock(&mutex);
    return kind;
}

void *handle_retire(void *handle, enum handle_kind kind) {
    void *object = NULL;
    pthread_mutex_lock(&mutex);
    struct place *place = place_of(handle);
    if (place != NULL && place->kind == kind && !place->is_retired) {
        place->is_retired = true;
        object = place->object;
    }
    pthread_mutex_unlock(&mutex);
    return object;
}

void handle_free(void *handle) {
    pthread_mutex_lock(&mutex);
    struct place *place = place_of(handle);
    while (place != NULL && place->pins > 0) {
        pthread_cond_wait(&unpinned, &mutex);
    }
    if (place != NULL) {
        place->kind = 0;
        place->object = NULL;
    }
    pthread_mutex_unlock(&mutex);
}

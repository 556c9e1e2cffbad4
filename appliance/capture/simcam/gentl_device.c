/* IF and Dev functions about devices: list, describe, open, close. */
#include <string.h>

#include "answer.h"
#include "library.h"

GC_API IFUpdateDeviceList(IF_HANDLE interface, bool8_t *changed, uint64_t timeout_ms) {
    uint32_t listed[CAMERAS_MAX], count = 0;
    (void)timeout_ms;
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    for (uint32_t i = 0; i < library.settings.count; i++) {
        if (!state_presence(library.cameras[i].settings.state).is_absent) {
            listed[count++] = i;
        }
    }
    bool is_changed = count != library.listed_count || memcmp(listed, library.listed, count * sizeof *listed) != 0;
    memcpy(library.listed, listed, count * sizeof *listed);
    library.listed_count = count;
    if (changed != NULL) {
        *changed = is_changed;
    }
    library_leave();
    return GC_ERR_SUCCESS;
}

GC_API IFGetNumDevices(IF_HANDLE interface, uint32_t *count) {
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    if (count == NULL) {
        code = fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
    } else {
        *count = library.listed_count;
    }
    library_leave();
    return code;
}

GC_API IFGetDeviceID(IF_HANDLE interface, uint32_t index, char *id, size_t *size) {
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    code = index < library.listed_count
               ? answer_text(library.cameras[library.listed[index]].id, NULL, id, size)
               : fail(GC_ERR_INVALID_INDEX, "device %u of %u", index, library.listed_count);
    library_leave();
    return code;
}

/* The camera of an id or, as the standard allows, of its serial number; NULL if there is none. */
static struct camera *camera_named(const char *id) {
    for (uint32_t i = 0; id != NULL && i < library.settings.count; i++) {
        struct camera *camera = &library.cameras[i];
        if (strcmp(camera->id, id) == 0 || strcmp(camera->settings.serial, id) == 0) {
            return camera;
        }
    }
    return NULL;
}

static int32_t access_status(const struct camera *camera) {
    struct presence presence = state_presence(camera->settings.state);
    return camera->device != NULL ? DEVICE_ACCESS_STATUS_OPEN_READWRITE
           : presence.is_absent   ? DEVICE_ACCESS_STATUS_NOACCESS
           : presence.is_busy     ? DEVICE_ACCESS_STATUS_BUSY
                                  : DEVICE_ACCESS_STATUS_READWRITE;
}

static GC_ERROR device_info(struct camera *camera, DEVICE_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                            size_t *size) {
    switch (command) {
    case DEVICE_INFO_ID:
        return answer_text(camera->id, type, buffer, size);
    case DEVICE_INFO_VENDOR:
        return answer_text("Appliance SimCam", type, buffer, size);
    case DEVICE_INFO_MODEL:
        return answer_text(camera->settings.model, type, buffer, size);
    case DEVICE_INFO_TLTYPE:
        return answer_text(TL_TYPE, type, buffer, size);
    case DEVICE_INFO_DISPLAYNAME:
        return answer_text(camera->id, type, buffer, size);
    case DEVICE_INFO_ACCESS_STATUS:
        return answer_int32(access_status(camera), type, buffer, size);
    case DEVICE_INFO_USER_DEFINED_NAME:
        return answer_text(camera->state != NULL ? camera->state->features.user_id : "", type, buffer, size);
    case DEVICE_INFO_SERIAL_NUMBER:
        return answer_text(camera->settings.serial, type, buffer, size);
    case DEVICE_INFO_VERSION:
        return answer_text("1.0", type, buffer, size);
    case DEVICE_INFO_TIMESTAMP_FREQUENCY:
        return answer_uint64(1000000000, type, buffer, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "device info %d", command);
    }
}

GC_API IFGetDeviceInfo(IF_HANDLE interface, const char *id, DEVICE_INFO_CMD command, INFO_DATATYPE *type,
                       void *buffer, size_t *size) {
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    struct camera *camera = camera_named(id);
    code = camera != NULL ? device_info(camera, command, type, buffer, size)
                          : fail(GC_ERR_INVALID_ID, "no device '%.80s'", id != NULL ? id : "NULL");
    library_leave();
    return code;
}

static GC_ERROR open_device(struct camera *camera, DEVICE_ACCESS_FLAGS flags, DEV_HANDLE *device) {
    if (flags != DEVICE_ACCESS_CONTROL && flags != DEVICE_ACCESS_EXCLUSIVE) {
        return fail(GC_ERR_NOT_IMPLEMENTED, "only control and exclusive access exist, got flags %d", flags);
    }
    if (camera->device != NULL) {
        return fail(GC_ERR_RESOURCE_IN_USE, "camera %s is open in this process", camera->settings.serial);
    }
    GC_ERROR code = camera_open(camera);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    camera->device = handle_new(HANDLE_DEVICE, camera);
    camera->port = handle_new(HANDLE_PORT, camera);
    if (camera->device == NULL || camera->port == NULL) {
        library_close_device(camera);
        return fail(GC_ERR_RESOURCE_EXHAUSTED, "no handle left");
    }
    *device = camera->device;
    return GC_ERR_SUCCESS;
}

GC_API IFOpenDevice(IF_HANDLE interface, const char *id, DEVICE_ACCESS_FLAGS flags, DEV_HANDLE *device) {
    if (device == NULL || id == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the %s pointer is NULL", id == NULL ? "id" : "handle");
    }
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    struct camera *camera = camera_named(id);
    code = camera != NULL ? open_device(camera, flags, device) : fail(GC_ERR_INVALID_ID, "no device '%.80s'", id);
    library_leave();
    return code;
}

/* Enter the library and find the camera of a device handle; on failure nothing is locked. */
static GC_ERROR enter_device(DEV_HANDLE device, struct camera **camera) {
    GC_ERROR code = library_enter(device, HANDLE_DEVICE);
    if (code == GC_ERR_SUCCESS) {
        *camera = handle_pin(device, HANDLE_DEVICE);
        handle_unpin(device);
    }
    return code;
}

GC_API DevClose(DEV_HANDLE device) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_device(device, &camera);
    if (code == GC_ERR_SUCCESS) {
        library_close_device(camera);
        library_leave();
    }
    return code;
}

GC_API DevGetInfo(DEV_HANDLE device, DEVICE_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                  size_t *size) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_device(device, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = device_info(camera, command, type, buffer, size);
        library_leave();
    }
    return code;
}

static GC_ERROR give_handle(GC_ERROR code, void **out, void *handle) {
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    if (out == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    }
    *out = handle;
    return GC_ERR_SUCCESS;
}

GC_API DevGetParentIF(DEV_HANDLE device, IF_HANDLE *interface) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_device(device, &camera);
    void *handle = library.interface;
    if (code == GC_ERR_SUCCESS) {
        library_leave();
    }
    return give_handle(code, interface, handle);
}

GC_API DevGetPort(DEV_HANDLE device, PORT_HANDLE *port) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_device(device, &camera);
    void *handle = NULL;
    if (code == GC_ERR_SUCCESS) {
        handle = camera->port;
        library_leave();
    }
    return give_handle(code, port, handle);
}

GC_API DevGetNumDataStreams(DEV_HANDLE device, uint32_t *count) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_device(device, &camera);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    library_leave();
    if (count == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
    }
    *count = 1;
    return GC_ERR_SUCCESS;
}

GC_API DevGetDataStreamID(DEV_HANDLE device, uint32_t index, char *id, size_t *size) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_device(device, &camera);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    library_leave();
    return index == 0 ? answer_text(STREAM_ID, NULL, id, size)
                      : fail(GC_ERR_INVALID_INDEX, "data stream %u of 1", index);
}

static GC_ERROR open_stream(struct camera *camera, const char *id, DS_HANDLE *out) {
    if (strcmp(id, STREAM_ID) != 0) {
        return fail(GC_ERR_INVALID_ID, "no data stream '%.80s'", id);
    }
    if (camera->stream.handle != NULL) {
        return fail(GC_ERR_RESOURCE_IN_USE, "the data stream is open already");
    }
    void *handle = handle_new(HANDLE_STREAM, camera);
    if (handle == NULL) {
        return fail(GC_ERR_RESOURCE_EXHAUSTED, "no handle left");
    }
    pthread_mutex_lock(&camera->mutex);
    struct stream *stream = &camera->stream;
    stream->handle = handle;
    stream->num_delivered = stream->num_underrun = stream->num_started = 0;
    pthread_mutex_unlock(&camera->mutex);
    *out = handle;
    return GC_ERR_SUCCESS;
}

GC_API DevOpenDataStream(DEV_HANDLE device, const char *id, DS_HANDLE *stream) {
    struct camera *camera = NULL;
    if (stream == NULL || id == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the %s pointer is NULL", id == NULL ? "id" : "handle");
    }
    GC_ERROR code = enter_device(device, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = open_stream(camera, id, stream);
        library_leave();
    }
    return code;
}

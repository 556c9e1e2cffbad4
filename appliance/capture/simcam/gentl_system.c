/* GC and TL functions: the library and its one system. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "library.h"

GC_API GCInitLib(void) {
    GC_ERROR code = GC_ERR_SUCCESS;
    pthread_mutex_lock(&library.mutex);
    if (library.is_initialised) {
        code = fail(GC_ERR_RESOURCE_IN_USE, "GCInitLib was called already");
    }
    library.is_initialised = true;
    pthread_mutex_unlock(&library.mutex);
    return code;
}

static void close_system(void) {
    if (library.system == NULL) {
        return;
    }
    library_close_interface();
    handle_retire(library.system, HANDLE_SYSTEM);
    handle_free(library.system);
    library.system = NULL;
    for (uint32_t i = 0; i < library.settings.count; i++) {
        camera_dispose(&library.cameras[i]);
    }
    library.settings.count = 0;
}

GC_API GCCloseLib(void) {
    GC_ERROR code = GC_ERR_SUCCESS;
    pthread_mutex_lock(&library.mutex);
    if (!library.is_initialised) {
        code = fail(GC_ERR_NOT_INITIALIZED, "GCInitLib was not called");
    }
    close_system();
    library.is_initialised = false;
    pthread_mutex_unlock(&library.mutex);
    return code;
}

GC_API GCGetLastError(GC_ERROR *code, char *text, size_t *size) {
    return last_error(code, text, size);
}

static const char *own_path(void) {
    Dl_info place;
    return dladdr((void *)(uintptr_t)&GCInitLib, &place) != 0 && place.dli_fname != NULL ? place.dli_fname : "";
}

static GC_ERROR system_info(TL_INFO_CMD command, INFO_DATATYPE *type, void *buffer, size_t *size) {
    const char *path = own_path();
    const char *slash = strrchr(path, '/');
    switch (command) {
    case TL_INFO_ID:
        return answer_text("appliance_simcam", type, buffer, size);
    case TL_INFO_VENDOR:
        return answer_text("Appliance SimCam", type, buffer, size);
    case TL_INFO_MODEL:
        return answer_text("SimCam producer", type, buffer, size);
    case TL_INFO_VERSION:
        return answer_text("1.0", type, buffer, size);
    case TL_INFO_TLTYPE:
        return answer_text(TL_TYPE, type, buffer, size);
    case TL_INFO_NAME:
        return answer_text(slash != NULL ? slash + 1 : path, type, buffer, size);
    case TL_INFO_PATHNAME:
        return answer_text(path, type, buffer, size);
    case TL_INFO_DISPLAYNAME:
        return answer_text("Appliance simulated cameras", type, buffer, size);
    case TL_INFO_CHAR_ENCODING:
        return answer_int32(TL_CHAR_ENCODING_UTF8, type, buffer, size);
    case TL_INFO_GENTL_VER_MAJOR:
        return answer_uint32(1, type, buffer, size);
    case TL_INFO_GENTL_VER_MINOR:
        return answer_uint32(6, type, buffer, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "system info %d", command);
    }
}

GC_API GCGetInfo(TL_INFO_CMD command, INFO_DATATYPE *type, void *buffer, size_t *size) {
    return system_info(command, type, buffer, size);
}

/* Read the settings; no APPLIANCE_SIMCAM means no cameras, so that foreign viewers can load this producer. */
static bool read_cameras(char problem[PROBLEM_BYTES]) {
    const char *path = getenv("APPLIANCE_SIMCAM");
    library.settings.count = 0;
    if (path == NULL || *path == '\0') {
        return true;
    }
    if (!settings_read(path, &library.settings, problem)) {
        library.settings.count = 0;
        return false;
    }
    for (uint32_t i = 0; i < library.settings.count; i++) {
        camera_init(&library.cameras[i], &library.settings.cameras[i]);
    }
    return true;
}

static GC_ERROR open_system(TL_HANDLE *system) {
    char problem[PROBLEM_BYTES];
    if (library.system != NULL) {
        return fail(GC_ERR_RESOURCE_IN_USE, "the system is open already");
    }
    if (!read_cameras(problem)) {
        note("%s", problem);
        return fail(GC_ERR_INVALID_VALUE, "%s", problem);
    }
    library.system = handle_new(HANDLE_SYSTEM, &library);
    *system = library.system;
    return library.system != NULL ? GC_ERR_SUCCESS : fail(GC_ERR_RESOURCE_EXHAUSTED, "no handle left");
}

GC_API TLOpen(TL_HANDLE *system) {
    if (system == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    }
    pthread_mutex_lock(&library.mutex);
    GC_ERROR code = library.is_initialised ? open_system(system)
                                           : fail(GC_ERR_NOT_INITIALIZED, "GCInitLib was not called");
    pthread_mutex_unlock(&library.mutex);
    return code;
}

GC_API TLClose(TL_HANDLE system) {
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
    if (code == GC_ERR_SUCCESS) {
        close_system();
        library_leave();
    }
    return code;
}

GC_API TLGetInfo(TL_HANDLE system, TL_INFO_CMD command, INFO_DATATYPE *type, void *buffer, size_t *size) {
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
    if (code == GC_ERR_SUCCESS) {
        code = system_info(command, type, buffer, size);
        library_leave();
    }
    return code;
}

GC_API TLUpdateInterfaceList(TL_HANDLE system, bool8_t *changed, uint64_t timeout_ms) {
    (void)timeout_ms;
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
    if (code == GC_ERR_SUCCESS) {
        library_leave();
        if (changed != NULL) {
            *changed = 0;
        }
    }
    return code;
}

GC_API TLGetNumInterfaces(TL_HANDLE system, uint32_t *count) {
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
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

GC_API TLGetInterfaceID(TL_HANDLE system, uint32_t index, char *id, size_t *size) {
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    library_leave();
    return index == 0 ? answer_text(INTERFACE_ID, NULL, id, size)
                      : fail(GC_ERR_INVALID_INDEX, "interface %u of 1", index);
}

static GC_ERROR interface_info(INTERFACE_INFO_CMD command, INFO_DATATYPE *type, void *buffer, size_t *size) {
    switch (command) {
    case INTERFACE_INFO_ID:
        return answer_text(INTERFACE_ID, type, buffer, size);
    case INTERFACE_INFO_DISPLAYNAME:
        return answer_text("Simulated bench", type, buffer, size);
    case INTERFACE_INFO_TLTYPE:
        return answer_text(TL_TYPE, type, buffer, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "interface info %d", command);
    }
}

static GC_ERROR check_interface_id(const char *id) {
    if (id == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the interface id is NULL");
    }
    return strcmp(id, INTERFACE_ID) == 0 ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_ID, "no interface '%.80s'", id);
}

GC_API TLGetInterfaceInfo(TL_HANDLE system, const char *id, INTERFACE_INFO_CMD command, INFO_DATATYPE *type,
                          void *buffer, size_t *size) {
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
    if (code == GC_ERR_SUCCESS) {
        library_leave();
        code = check_interface_id(id);
    }
    return code == GC_ERR_SUCCESS ? interface_info(command, type, buffer, size) : code;
}

GC_API IFGetInfo(IF_HANDLE interface, INTERFACE_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                 size_t *size) {
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code == GC_ERR_SUCCESS) {
        library_leave();
        code = interface_info(command, type, buffer, size);
    }
    return code;
}

static GC_ERROR open_interface(IF_HANDLE *interface) {
    if (library.interface != NULL) {
        return fail(GC_ERR_RESOURCE_IN_USE, "the interface is open already");
    }
    library.interface = handle_new(HANDLE_INTERFACE, &library);
    *interface = library.interface;
    return library.interface != NULL ? GC_ERR_SUCCESS : fail(GC_ERR_RESOURCE_EXHAUSTED, "no handle left");
}

GC_API TLOpenInterface(TL_HANDLE system, const char *id, IF_HANDLE *interface) {
    if (interface == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    }
    GC_ERROR code = library_enter(system, HANDLE_SYSTEM);
    if (code == GC_ERR_SUCCESS) {
        code = check_interface_id(id);
        code = code == GC_ERR_SUCCESS ? open_interface(interface) : code;
        library_leave();
    }
    return code;
}

GC_API IFClose(IF_HANDLE interface) {
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code == GC_ERR_SUCCESS) {
        library_close_interface();
        library_leave();
    }
    return code;
}

GC_API IFGetParentTL(IF_HANDLE interface, TL_HANDLE *system) {
    GC_ERROR code = library_enter(interface, HANDLE_INTERFACE);
    if (code == GC_ERR_SUCCESS) {
        if (system == NULL) {
            code = fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
        } else {
            *system = library.system;
        }
        library_leave();
    }
    return code;
}

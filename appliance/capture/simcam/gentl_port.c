/* Port functions: registers of the remote device, and the address of its XML. */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "library.h"
#include "registers.h"

#define XML_FILE_NAME "appliance_simcam.xml"

/* Name of the module a port handle stands for; NULL if it is none. Only the remote device has registers. */
static const char *module_of(PORT_HANDLE port) {
    switch (handle_kind_of(port)) {
    case HANDLE_SYSTEM:
        return "TLSystem";
    case HANDLE_INTERFACE:
        return "TLInterface";
    case HANDLE_DEVICE:
        return "TLDevice";
    case HANDLE_STREAM:
        return "TLDataStream";
    case HANDLE_PORT:
        return "Device";
    default:
        return NULL;
    }
}

GC_API GCGetPortInfo(PORT_HANDLE port, PORT_INFO_CMD command, INFO_DATATYPE *type, void *buffer,
                     size_t *size) {
    const char *module = module_of(port);
    if (module == NULL) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no open port", port);
    }
    bool is_remote = strcmp(module, "Device") == 0;
    switch (command) {
    case PORT_INFO_ID:
    case PORT_INFO_MODULE:
        return answer_text(module, type, buffer, size);
    case PORT_INFO_VENDOR:
        return answer_text("Appliance SimCam", type, buffer, size);
    case PORT_INFO_MODEL:
        return answer_text("SimCam", type, buffer, size);
    case PORT_INFO_TLTYPE:
        return answer_text(TL_TYPE, type, buffer, size);
    case PORT_INFO_LITTLE_ENDIAN:
        return answer_bool(true, type, buffer, size);
    case PORT_INFO_BIG_ENDIAN:
    case PORT_INFO_ACCESS_NA:
        return answer_bool(false, type, buffer, size);
    case PORT_INFO_ACCESS_READ:
    case PORT_INFO_ACCESS_WRITE:
        return answer_bool(is_remote, type, buffer, size);
    case PORT_INFO_ACCESS_NI:
        return answer_bool(!is_remote, type, buffer, size);
    case PORT_INFO_VERSION:
        return answer_text("1.0", type, buffer, size);
    case PORT_INFO_PORTNAME:
        return answer_text(is_remote ? "Device" : module, type, buffer, size);
    default:
        return fail(GC_ERR_NOT_IMPLEMENTED, "port info %d", command);
    }
}

/* harvesters falls back to no node map only if a port without XML answers with an error, never with zero URLs. */
static GC_ERROR check_has_xml(PORT_HANDLE port) {
    const char *module = module_of(port);
    if (module == NULL) {
        return fail(GC_ERR_INVALID_HANDLE, "%p is no open port", port);
    }
    return strcmp(module, "Device") == 0 ? GC_ERR_SUCCESS
                                         : fail(GC_ERR_NOT_AVAILABLE, "module %s has no XML", module);
}

static size_t xml_bytes(void) {
    return (size_t)(nodes_xml_end - nodes_xml);
}

static GC_ERROR answer_url(INFO_DATATYPE *type, void *buffer, size_t *size) {
    char url[128];
    snprintf(url, sizeof url, "Local:%s;%X;%zX", XML_FILE_NAME, NODES_ADDRESS, xml_bytes());
    return answer_text(url, type, buffer, size);
}

GC_API GCGetPortURL(PORT_HANDLE port, char *url, size_t *size) {
    GC_ERROR code = check_has_xml(port);
    return code == GC_ERR_SUCCESS ? answer_url(NULL, url, size) : code;
}

GC_API GCGetNumPortURLs(PORT_HANDLE port, uint32_t *count) {
    GC_ERROR code = check_has_xml(port);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    if (count == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
    }
    *count = 1;
    return GC_ERR_SUCCESS;
}

GC_API GCGetPortURLInfo(PORT_HANDLE port, uint32_t index, URL_INFO_CMD command, INFO_DATATYPE *type,
                        void *buffer, size_t *size) {
    GC_ERROR code = check_has_xml(port);
    if (code != GC_ERR_SUCCESS) {
        return code;
    }
    if (index != 0) {
        return fail(GC_ERR_INVALID_INDEX, "URL %u of 1", index);
    }
    switch (command) {
    case URL_INFO_URL:
        return answer_url(type, buffer, size);
    case URL_INFO_SCHEMA_VER_MAJOR:
    case URL_INFO_SCHEMA_VER_MINOR:
    case URL_INFO_FILE_VER_MAJOR:
        return answer_int32(1, type, buffer, size);
    case URL_INFO_FILE_VER_MINOR:
    case URL_INFO_FILE_VER_SUBMINOR:
        return answer_int32(0, type, buffer, size);
    case URL_INFO_FILE_REGISTER_ADDRESS:
        return answer_uint64(NODES_ADDRESS, type, buffer, size);
    case URL_INFO_FILE_SIZE:
        return answer_uint64(xml_bytes(), type, buffer, size);
    case URL_INFO_SCHEME:
        return answer_int32(URL_SCHEME_LOCAL, type, buffer, size);
    case URL_INFO_FILENAME:
        return answer_text(XML_FILE_NAME, type, buffer, size);
    default:
        return fail(GC_ERR_NOT_AVAILABLE, "URL info %d", command);
    }
}

/* Pin the remote device's port and lock its camera; on failure neither. A lost camera answers GC_ERR_IO. */
static GC_ERROR enter_port(PORT_HANDLE port, struct camera **camera) {
    *camera = handle_pin(port, HANDLE_PORT);
    if (*camera == NULL) {
        return module_of(port) == NULL ? fail(GC_ERR_INVALID_HANDLE, "%p is no open port", port)
                                       : fail(GC_ERR_NOT_IMPLEMENTED, "module %s has no registers", module_of(port));
    }
    pthread_mutex_lock(&(*camera)->mutex);
    if ((*camera)->is_lost) {
        pthread_mutex_unlock(&(*camera)->mutex);
        handle_unpin(port);
        return fail(GC_ERR_IO, "the camera doesn't answer; close and open it again");
    }
    return GC_ERR_SUCCESS;
}

static void leave_port(PORT_HANDLE port, struct camera *camera) {
    pthread_mutex_unlock(&camera->mutex);
    handle_unpin(port);
}

static GC_ERROR access_port(PORT_HANDLE port, uint64_t address, void *out, const void *in, size_t size) {
    struct camera *camera = NULL;
    GC_ERROR code = enter_port(port, &camera);
    if (code == GC_ERR_SUCCESS) {
        code = out != NULL ? registers_read(camera, address, out, size) : registers_write(camera, address, in, size);
        leave_port(port, camera);
    }
    return code;
}

GC_API GCReadPort(PORT_HANDLE port, uint64_t address, void *buffer, size_t *size) {
    if (buffer == NULL || size == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the %s pointer is NULL", size == NULL ? "size" : "buffer");
    }
    return access_port(port, address, buffer, NULL, *size);
}

GC_API GCWritePort(PORT_HANDLE port, uint64_t address, const void *buffer, size_t *size) {
    if (buffer == NULL || size == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the %s pointer is NULL", size == NULL ? "size" : "buffer");
    }
    return access_port(port, address, NULL, buffer, *size);
}

/* Entries in order until one fails; *count tells how many were done. */
static GC_ERROR access_stacked(PORT_HANDLE port, PORT_REGISTER_STACK_ENTRY *entries, size_t *count, bool is_read) {
    GC_ERROR code = GC_ERR_SUCCESS;
    if (entries == NULL || count == NULL) {
        return fail(GC_ERR_INVALID_PARAMETER, "the %s pointer is NULL", count == NULL ? "count" : "entries");
    }
    size_t done = 0;
    for (; done < *count && code == GC_ERR_SUCCESS; done += code == GC_ERR_SUCCESS) {
        PORT_REGISTER_STACK_ENTRY *entry = &entries[done];
        code = entry->pBuffer == NULL
                   ? fail(GC_ERR_INVALID_PARAMETER, "the buffer of entry %zu is NULL", done)
                   : access_port(port, entry->Address, is_read ? entry->pBuffer : NULL, entry->pBuffer, entry->Size);
    }
    *count = done;
    return code;
}

GC_API GCReadPortStacked(PORT_HANDLE port, PORT_REGISTER_STACK_ENTRY *entries, size_t *count) {
    return access_stacked(port, entries, count, true);
}

GC_API GCWritePortStacked(PORT_HANDLE port, PORT_REGISTER_STACK_ENTRY *entries, size_t *count) {
    return access_stacked(port, entries, count, false);
}

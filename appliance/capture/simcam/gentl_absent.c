/* Functions of the standard for data this camera never sends: multi-part, composite buffers, flows.
 *
 * The genicam wheel complains on stderr about each one a producer doesn't export.
 */
#include "answer.h"
#include "gentl.h"

GC_API DSGetNumBufferParts(DS_HANDLE stream, BUFFER_HANDLE buffer, uint32_t *count) {
    (void)stream, (void)buffer, (void)count;
    return fail(GC_ERR_NO_DATA, "the buffer holds no multi-part data");
}

GC_API DSGetBufferPartInfo(DS_HANDLE stream, BUFFER_HANDLE buffer, uint32_t index, BUFFER_PART_INFO_CMD command,
                           INFO_DATATYPE *type, void *out, size_t *size) {
    (void)stream, (void)buffer, (void)index, (void)command, (void)type, (void)out, (void)size;
    return fail(GC_ERR_NO_DATA, "the buffer holds no multi-part data");
}

GC_API DSAnnounceCompositeBuffer(DS_HANDLE stream, size_t count, void **segments, size_t *sizes, void *user,
                                 BUFFER_HANDLE *buffer) {
    (void)stream, (void)count, (void)segments, (void)sizes, (void)user, (void)buffer;
    return fail(GC_ERR_NOT_IMPLEMENTED, "composite buffers are not supported");
}

GC_API DSGetNumBufferSegments(DS_HANDLE stream, BUFFER_HANDLE buffer, uint32_t *count) {
    (void)stream, (void)buffer, (void)count;
    return fail(GC_ERR_NOT_IMPLEMENTED, "composite buffers are not supported");
}

GC_API DSGetBufferSegmentInfo(DS_HANDLE stream, BUFFER_HANDLE buffer, uint32_t index, SEGMENT_INFO_CMD command,
                              INFO_DATATYPE *type, void *out, size_t *size) {
    (void)stream, (void)buffer, (void)index, (void)command, (void)type, (void)out, (void)size;
    return fail(GC_ERR_NOT_IMPLEMENTED, "composite buffers are not supported");
}

GC_API DSGetNumFlows(DS_HANDLE stream, uint32_t *count) {
    (void)stream, (void)count;
    return fail(GC_ERR_NOT_IMPLEMENTED, "flows are not supported");
}

GC_API DSGetFlowInfo(DS_HANDLE stream, uint32_t index, FLOW_INFO_CMD command, INFO_DATATYPE *type, void *out,
                     size_t *size) {
    (void)stream, (void)index, (void)command, (void)type, (void)out, (void)size;
    return fail(GC_ERR_NOT_IMPLEMENTED, "flows are not supported");
}

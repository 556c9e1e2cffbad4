/* The remote device's register map, which nodes.xml describes to the application.
 *
 * Little-endian. A read or write must lie within one register. With the camera's mutex held.
 */
#ifndef SIMCAM_REGISTERS_H
#define SIMCAM_REGISTERS_H

#include "camera.h"

enum { NODES_ADDRESS = 0x100000 };

extern const char nodes_xml[];
extern const char nodes_xml_end[];

GC_ERROR registers_read(struct camera *camera, uint64_t address, void *out, size_t size);
GC_ERROR registers_write(struct camera *camera, uint64_t address, const void *in, size_t size);

/* Features as at power-on. */
void features_reset(struct camera *camera);

/* Keep the features the state file remembers if they were made from the same settings and are sound. */
void features_fit(struct camera *camera);

size_t features_image_bytes(const struct camera *camera);
size_t features_payload_bytes(const struct camera *camera);

#endif

#include "pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE_MAX_PX = 32768 };

struct header {
    char magic[8];
    uint32_t width, height, channels, zero;
    uint64_t count, stride, first_offset, names_offset, names_bytes;
};
_Static_assert(sizeof(struct header) == 64, "pack header");

static bool is_sound(const struct header *header, size_t file_bytes) {
    if (memcmp(header->magic, "SIMPACK1", 8) != 0 || header->count == 0 ||
        header->width == 0 || header->width > SIDE_MAX_PX || header->height == 0 || header->height > SIDE_MAX_PX ||
        (header->channels != 1 && header->channels != 3)) {
        return false;
    }
    uint64_t image_bytes = (uint64_t)header->width * header->height * header->channels;
    return header->stride >= image_bytes && header->first_offset <= file_bytes &&
           header->count <= (file_bytes - header->first_offset) / header->stride;
}

bool pack_open(struct pack *pack, const char *path, char *problem, size_t problem_bytes) {
    memset(pack, 0, sizeof *pack);
    struct header header = {0};
    struct stat status = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        snprintf(problem, problem_bytes, "pack %.160s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    size_t file_bytes = (size_t)status.st_size;
    if (pread(fd, &header, sizeof header, 0) != sizeof header || !is_sound(&header, file_bytes)) {
        snprintf(problem, problem_bytes, "pack %.160s is not a whole image pack: write it again", path);
        close(fd);
        return false;
    }
    void *mapping = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapping == MAP_FAILED) {
        snprintf(problem, problem_bytes, "pack %.160s can't be mapped: %s", path, strerror(errno));
        return false;
    }
    *pack = (struct pack){
        .mapping = mapping,
        .mapping_bytes = file_bytes,
        .first = (const uint8_t *)mapping + header.first_offset,
        .stride = header.stride,
        .count = header.count,
        .width = header.width,
        .height = header.height,
        .channels = header.channels,
    };
    return true;
}

void pack_close(struct pack *pack) {
    if (pack->mapping != NULL) {
        munmap(pack->mapping, pack->mapping_bytes);
    }
    memset(pack, 0, sizeof *pack);
}

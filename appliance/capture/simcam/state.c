#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

static const char magic[8] = {'S', 'I', 'M', 'C', 'A', 'M', '0', '2'};

/* The 16 bytes of /proc's boot id; zeros where there is none. */
static void read_boot_id(uint8_t out[16]) {
    char text[64] = {0};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    memset(out, 0, 16);
    int digits = 0;
    for (ssize_t i = 0; i < length && digits < 32; i++) {
        if (text[i] == '-' || text[i] == '\n') {
            continue;
        }
        char digit[2] = {text[i], '\0'};
        out[digits / 2] = (uint8_t)((out[digits / 2] << 4) | strtoul(digit, NULL, 16));
        digits++;
    }
}

/* A file of another boot or layout starts anew; one that fits keeps its line, features and commands. */
static void adopt(struct state *state) {
    uint8_t boot_id[16];
    read_boot_id(boot_id);
    if (memcmp(state->magic, magic, 8) != 0 || memcmp(state->boot_id, boot_id, 16) != 0) {
        memset(state, 0, sizeof *state);
        memcpy(state->boot_id, boot_id, 16);
        memcpy(state->magic, magic, 8);
    }
    if (state->powered_on_ns == 0) {
        state->powered_on_ns = clock_now_ns();
    }
}

enum state_outcome state_open(const char *path, struct state **state, int *fd, char *problem, size_t problem_bytes) {
    struct stat status = {0};
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0) {
        snprintf(problem, problem_bytes, "state file %.160s: %s", path, strerror(errno));
        return STATE_BROKEN;
    }
    struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(*fd, F_OFD_SETLK, &whole_file) < 0) {
        snprintf(problem, problem_bytes, "the camera is open in another process (it holds %.160s)", path);
        close(*fd);
        return STATE_BUSY;
    }
    flock(*fd, LOCK_EX); /* control.py may be making the same file: another lock than the owner's */
    int error = fstat(*fd, &status) < 0 ? errno : 0;
    if (error == 0 && status.st_size < STATE_BYTES) {
        error = posix_fallocate(*fd, 0, STATE_BYTES);
    }
    void *mapping = error == 0 ? mmap(NULL, STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0) : MAP_FAILED;
    if (mapping == MAP_FAILED) {
        snprintf(problem, problem_bytes, "state file %.160s can't be mapped: %s", path, strerror(error ? error : errno));
        close(*fd);
        return STATE_BROKEN;
    }
    *state = mapping;
    adopt(*state);
    flock(*fd, LOCK_UN);
    return STATE_OPEN;
}

void state_close(struct state *state, int fd) {
    munmap(state, STATE_BYTES);
    close(fd);
}

struct presence state_presence(const char *path) {
    struct presence presence = {0};
    uint8_t boot_id[16];
    union {
        uint8_t bytes[128];
        uint64_t words[16];
    } head;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return presence;
    }
    /* Only asks: a lock taken here, however shortly, could refuse another process that opens the camera. */
    struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    presence.is_busy = fcntl(fd, F_OFD_GETLK, &whole_file) == 0 && whole_file.l_type != F_UNLCK;
    read_boot_id(boot_id);
    if (pread(fd, head.bytes, sizeof head.bytes, 0) == sizeof head.bytes && memcmp(head.bytes, magic, 8) == 0 &&
        memcmp(head.bytes + 8, boot_id, 16) == 0) {
        presence.is_absent = clock_now_ns() < head.words[offsetof(struct state, absent_until_ns) / 8];
    }
    close(fd);
    return presence;
}

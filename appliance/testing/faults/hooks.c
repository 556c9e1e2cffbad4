/* Preloaded into a process under test: makes its disk fail or stall, and its wall clock jump, at somebody's command.
 *
 * APPLIANCE_FAULTS names the control file; preload.py writes it, every process that has it mapped obeys at once. Byte map, native endian:
 *
 *     0    8  magic "APLFLT01"
 *     8    4  armed: bit n set: rule n is in force
 *    16    8  added to every reading of the wall clock, ns, signed
 *    64  256  rule 0        320  256  rule 1  ...  rule 7
 *
 *     a rule:  0    4  operations (enum operation)       4    4  errno, 0: none
 *              8    4  delay before the call, ms        16    8  calls it struck, counted by the processes
 *             24  232  path of a file or folder, zero-terminated
 *
 * A rule strikes a call whose file is the one named or lies under it: first the delay, then the error instead of the call. The
 * kernel's own view of a file is asked (/proc/self/fd), so it matters not how the file was opened. While nothing is armed
 * a call costs one load more. Writes within the C library itself (fwrite) and through mappings are not seen.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { RULES = 8, CONTROL_BYTES = 4096 };
enum operation { WRITE = 1, SYNC = 2, RENAME = 4, CREATE = 8, EXTEND = 16 };

struct rule {
    uint32_t operations;
    int32_t error;
    uint32_t delay_ms, unused;
    uint64_t struck;
    char path[232];
};

struct control {
    char magic[8];
    uint32_t armed, unused0;
    int64_t wall_offset_ns;
    uint8_t unused1[40];
    struct rule rules[RULES];
};
_Static_assert(sizeof(struct rule) == 256, "layout of a rule");
_Static_assert(offsetof(struct control, rules) == 64, "layout of the control file");

static struct control nothing; /* of a process that was given no control file */
static struct control *control = &nothing;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("APPLIANCE_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED && memcmp(memory, "APLFLT01", 8) == 0)
        control = memory;
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static void wait_ms(uint32_t milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static bool is_under(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* True: the call must fail, and errno says how. */
static bool strikes(enum operation operation, const char *path)
{
    uint32_t armed = __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE);
    bool fails = false;
    for (int index = 0; index < RULES; index++) {
        struct rule *rule = &control->rules[index];
        if (!(armed >> index & 1) || !(rule->operations & operation) || !is_under(path, rule->path))
            continue;
        __atomic_add_fetch(&rule->struck, 1, __ATOMIC_RELAXED);
        wait_ms(rule->delay_ms);
        if (rule->error) {
            errno = rule->error;
            fails = true;
        }
    }
    return fails;
}

static bool is_quiet(void)
{
    return __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) == 0;
}

static bool strikes_fd(enum operation operation, int fd)
{
    if (is_quiet())
        return false;
    int before = errno;
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return false;
    path[length] = 0;
    return strikes(operation, path);
}

static bool strikes_path(enum operation operation, int directory, const char *path)
{
    if (is_quiet() || !path)
        return false;
    if (path[0] == '/')
        return strikes(operation, path);
    char link[32] = "/proc/self/cwd", whole[PATH_MAX];
    if (directory != AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    int before = errno;
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    errno = before;
    if (length < 0)
        return false;
    snprintf(whole + length, sizeof whole - (size_t)length, "/%s", path);
    return strikes(operation, whole);
}

#define HOOK(type, name, parameters, struck, arguments) \
    type name parameters \
    { \
        NEXT(name); \
        return (struck) ? (type)-1 : next arguments; \
    }

HOOK(ssize_t, write, (int fd, const void *data, size_t size), strikes_fd(WRITE, fd), (fd, data, size))
HOOK(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), strikes_fd(WRITE, fd), (fd, data, size, at))
HOOK(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), strikes_fd(WRITE, fd), (fd, data, size, at))
HOOK(ssize_t, writev, (int fd, const struct iovec *parts, int count), strikes_fd(WRITE, fd), (fd, parts, count))
HOOK(int, fsync, (int fd), strikes_fd(SYNC, fd), (fd))
HOOK(int, fdatasync, (int fd), strikes_fd(SYNC, fd), (fd))
HOOK(int, ftruncate, (int fd, off_t size), strikes_fd(EXTEND, fd), (fd, size))
HOOK(int, ftruncate64, (int fd, off64_t size), strikes_fd(EXTEND, fd), (fd, size))
HOOK(int, fallocate, (int fd, int mode, off_t at, off_t size), strikes_fd(EXTEND, fd), (fd, mode, at, size))
HOOK(int, fallocate64, (int fd, int mode, off64_t at, off64_t size), strikes_fd(EXTEND, fd), (fd, mode, at, size))
HOOK(int, rename, (const char *from, const char *to), strikes_path(RENAME, AT_FDCWD, to), (from, to))
HOOK(int, renameat, (int d, const char *from, int e, const char *to), strikes_path(RENAME, e, to), (d, from, e, to))
HOOK(int, link, (const char *from, const char *to), strikes_path(CREATE, AT_FDCWD, to), (from, to))
HOOK(int, mkdir, (const char *path, mode_t mode), strikes_path(CREATE, AT_FDCWD, path), (path, mode))
HOOK(int, mkdirat, (int d, const char *path, mode_t mode), strikes_path(CREATE, d, path), (d, path, mode))

/* These two give the error as their value and leave errno alone. */
int posix_fallocate(int fd, off_t at, off_t size)
{
    NEXT(posix_fallocate);
    return strikes_fd(EXTEND, fd) ? errno : next(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size)
{
    NEXT(posix_fallocate64);
    return strikes_fd(EXTEND, fd) ? errno : next(fd, at, size);
}

/* O_CREAT is struck even where the file exists: whoever asks for it is about to write. */
#define OPEN_HOOK(name, parameters, directory, arguments) \
    int name parameters \
    { \
        NEXT(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        } \
        return (flags & O_CREAT) && strikes_path(CREATE, directory, path) ? -1 : next arguments; \
    }

OPEN_HOOK(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN_HOOK(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN_HOOK(openat, (int d, const char *path, int flags, ...), d, (d, path, flags, mode))
OPEN_HOOK(openat64, (int d, const char *path, int flags, ...), d, (d, path, flags, mode))

/* -- the wall clock; CLOCK_MONOTONIC never jumps, and file times are the kernel's */

static int64_t wall_offset_ns(void)
{
    return __atomic_load_n(&control->wall_offset_ns, __ATOMIC_ACQUIRE);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    NEXT(clock_gettime);
    int outcome = next(clock, now);
    int64_t offset = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? wall_offset_ns() : 0;
    if (outcome == 0 && offset) {
        int64_t shifted = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + offset;
        now->tv_sec = shifted / 1000000000;
        now->tv_nsec = shifted % 1000000000;
    }
    return outcome;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    NEXT(gettimeofday);
    int outcome = next(now, zone);
    if (outcome == 0)
        now->tv_sec += wall_offset_ns() / 1000000000;
    return outcome;
}

time_t time(time_t *now)
{
    NEXT(time);
    time_t shifted = next(NULL) + wall_offset_ns() / 1000000000;
    if (now)
        *now = shifted;
    return shifted;
}

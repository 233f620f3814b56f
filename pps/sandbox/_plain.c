/* pps.sandbox._plain: the spawner's loop for plain commands, without Python between request and end; Linux only.
 *
 * Does what spawner_main.py and spawner_init.py do, for what most commands are: in a PID namespace of their own,
 * without limits and files in memory, with a request of up to LONGEST bytes (plain.py writes it and says which these
 * are). Everything else goes back to Python. One thread, no allocation: the init is a fork that has left the heap of
 * the interpreter behind (MADV_DONTFORK), so it may use nothing but its stack and what is static here, and no function
 * of libc that allocates or looks at the locale.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "_plain_init.h"

enum { FDS = 5, LONGEST = 1 << 16, WORDS = 4096, REGIONS = 64, LARGE = 1 << 19 };
static const uint32_t PLAIN = UINT32_C(1) << 31;

static char body[LONGEST + 1];
static char *words[WORDS + 2];
static struct { void *at; size_t size; } regions[REGIONS];
static int region_count;

/* Put the next `count` words at `to`; return where the words after them begin, NULL if there are too few. */
static char *take_words(char *at, const char *end, char **to, uint32_t count) {
    for (uint32_t i = 0; at && i < count; i++) {
        if (at >= end) return NULL;
        to[i] = at;
        at += strlen(at) + 1;
    }
    return at;
}

/* Three counts, then that many words of argv and env, cwd, and the words of the steps; each ends with a zero byte. */
static int parse(size_t length, request *asked) {
    uint32_t counts[3];
    if (length <= sizeof counts || body[length - 1]) return -1;
    memcpy(counts, body, sizeof counts);
    if (counts[0] == 0 || (uint64_t)counts[0] + counts[1] + counts[2] + 1 > WORDS) return -1;
    char *end = body + length;
    asked->argv = words;
    asked->env = asked->argv + counts[0] + 1;
    asked->steps = asked->env + counts[1] + 1;
    asked->end = asked->steps + counts[2];
    asked->env[-1] = asked->steps[-1] = NULL;
    char *at = take_words(body + sizeof counts, end, asked->argv, counts[0]);
    at = take_words(at, end, asked->env, counts[1]);
    at = take_words(at, end, &asked->cwd, 1);
    return take_words(at, end, asked->steps, counts[2]) == end ? 0 : -1;
}

static ssize_t receive(int fd, void *to, size_t length) {
    size_t got = 0;
    while (got < length) {
        ssize_t size = recv(fd, (char *)to + got, length - got, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return size;
        got += (size_t)size;
    }
    return (ssize_t)got;
}

/* Return 1 with length and descriptors of the next request, 0 at the end of the socket, -1 with errno. */
static int receive_head(int fd, uint32_t *length, int *fds) {
    unsigned char head[4];
    union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int) * FDS)]; } control;
    struct iovec part = {head, sizeof head};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size;
    do size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    if (size <= 0) return (int)size;
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    if (size < (ssize_t)sizeof head || !first || first->cmsg_len != CMSG_LEN(sizeof(int) * FDS)) return 0;
    memcpy(fds, CMSG_DATA(first), sizeof(int) * FDS);
    *length = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    return 1;
}

static int holds(const char *begin, const char *end, const void *address) {
    return begin <= (const char *)address && (const char *)address < end;
}

/* Find the memory of the interpreter that an init never looks at, which need not be copied for it. */
static void find_regions(void) {
    char line[512], rights[8], path[64];
    unsigned long begin, end, inode;
    FILE *maps = fopen("/proc/self/maps", "re");
    region_count = 0;
    while (maps && region_count < REGIONS && fgets(line, sizeof line, maps)) {
        *path = 0;
        if (sscanf(line, "%lx-%lx %7s %*s %*s %lu %63s", &begin, &end, rights, &inode, path) < 4) continue;
        const char *from = (const char *)begin, *to = (const char *)end;
        int ours = holds(from, to, &errno) || holds(from, to, line) || holds(from, to, body) || holds(from, to, words);
        int heap = !strcmp(path, "[heap]");
        if (ours || inode || strcmp(rights, "rw-p") || !(heap || (!*path && end - begin >= LARGE))) continue;
        regions[region_count].at = (void *)begin;
        regions[region_count++].size = end - begin;
    }
    if (maps) fclose(maps);
}

static void advise(int advice) {
    /* Where this cannot be had, forks take longer. */
    for (int i = 0; i < region_count; i++) madvise(regions[i].at, regions[i].size, advice);
}

/* Serve until something else than a plain request comes: 1; 0: the executor is gone; -1: errno. */
static int serve_plain(int fd, unsigned long flags, uint32_t *length, int *fds) {
    request asked;
    for (;;) {
        int got = receive_head(fd, length, fds);
        if (got <= 0) return got;
        if (!(*length & PLAIN)) return 1;
        size_t size = *length & ~PLAIN;
        if (size > LONGEST) return errno = EMSGSIZE, -1;
        ssize_t received = receive(fd, body, size);
        if (received <= 0) return (int)received;
        body[size] = 0;
        if (parse(size, &asked)) return errno = EBADMSG, -1;
        long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
        if (pid < 0) return -1;
        if (pid == 0) {
            close(fd);
            be_init(&asked, fds);
        }
        char line[32];
        snprintf(line, sizeof line, "{\"init\": %ld}\n", pid);
        say(fds[3], line);
        for (int i = 0; i < FDS; i++) close(fds[i]);
    }
}

static PyObject *serve(PyObject *module, PyObject *args) {
    int fd, fds[FDS];
    unsigned long flags;
    uint32_t length = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "ik", &fd, &flags)) return NULL;
    for (int i = 1; i < ERRORS; i++) snprintf(reasons[i], sizeof reasons[i], "%s", strerror(i));
    find_regions();
    advise(MADV_DONTFORK);
    int got = serve_plain(fd, flags, &length, fds);
    int number = errno;
    advise(MADV_DOFORK);
    errno = number;
    if (got < 0) return PyErr_SetFromErrno(PyExc_OSError);
    if (got == 0) Py_RETURN_NONE;
    return Py_BuildValue("I[iiiii]", length, fds[0], fds[1], fds[2], fds[3], fds[4]);
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS, "Serve plain requests; return the length and descriptors of the first other, or None."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_plain", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__plain(void);
PyMODINIT_FUNC PyInit__plain(void) {
    return PyModule_Create(&definition);
}

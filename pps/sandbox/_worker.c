/* pps.sandbox._worker: what the thread of a worker does around each command, without the interpreter's lock; Linux only.
 *
 * handover.py, listening.py and workers/scratch.py have the same in Python, for where there is no compiler. Threads of
 * one process share one lock: a command that says nothing costs each of them two turns with it here, not twenty.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "_worker_sweep.h"

enum { FDS = 5, OUT = 1, ERR = 2, ENDED = 4, WATCHED = 8, FULL = 16 };

static void close_all(const int *fds, int count) {
    int number = errno;
    for (int i = 0; i < count; i++) close(fds[i]);
    errno = number;
}

/* Send all of it, the descriptors with the first bytes. */
static int send_all(int fd, const char *text, size_t length, const int *fds) {
    union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int) * FDS)]; } control = {.space = {0}};
    struct iovec part = {(char *)text, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(sizeof(int) * FDS);
    memcpy(CMSG_DATA(first), fds, sizeof(int) * FDS);
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    for (size_t done = sent < 0 ? 0 : (size_t)sent; sent >= 0 && done < length;) {
        sent = send(fd, text + done, length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) sent = 0;
        if (sent > 0) done += (size_t)sent;
    }
    return sent < 0 ? -1 : 0;
}

/* Make the pipes and send the request; ours[4] are the ends that stay: out, err, status, control. */
static int hand_over_all(int fd, const char *text, size_t length, int stdin_fd, int *ours) {
    int theirs[4], both[2], made = 0;
    for (; made < 4; made++) {
        if (pipe2(both, O_CLOEXEC)) break;
        ours[made] = both[made == 3];
        theirs[made] = both[made != 3];
    }
    int failed = made < 4;
    if (!failed) {
        const int fds[FDS] = {stdin_fd, theirs[0], theirs[1], theirs[2], theirs[3]};
        failed = send_all(fd, text, length, fds);
    }
    close_all(theirs, made);
    if (failed) close_all(ours, made);
    return failed;
}

static PyObject *hand_over(PyObject *module, PyObject *args) {
    int fd, stdin_fd, ours[4], failed;
    Py_buffer text;
    (void)module;
    if (!PyArg_ParseTuple(args, "iy*i", &fd, &text, &stdin_fd)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = hand_over_all(fd, text.buf, (size_t)text.len, stdin_fd, ours);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&text);
    if (failed) return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("(iiii)", ours[0], ours[1], ours[2], ours[3]);
}

/* Which of stdout and stderr have something to be read; one that was closed is asked no more. */
static int streams(struct pollfd *at) {
    int mask = 0;
    for (int i = 0; i < 2; i++) {
        if (at[i].revents & POLLIN) mask |= i ? ERR : OUT;
        else if (at[i].revents) at[i].fd = -1;
    }
    return mask;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Return what there is to do, 0 when time is up or a signal came, -1 with errno; the status is read by the way. */
static int listen_all(struct pollfd *at, int ms, char *text, Py_ssize_t room, Py_ssize_t *filled) {
    for (int64_t until = ms < 0 ? 0 : now_ms() + ms;;) {
        int64_t left = ms < 0 ? -1 : until - now_ms();
        int found = poll(at, 4, ms < 0 ? -1 : left > 0 ? (int)left : 0);
        if (found < 0) return errno == EINTR ? 0 : -1;
        if (found == 0) return 0;
        int mask = streams(at) | (at[3].revents ? WATCHED : 0);
        if (at[2].revents) {
            ssize_t size = read(at[2].fd, text + *filled, (size_t)(room - *filled));
            if (size < 0) return errno == EINTR ? 0 : -1;
            *filled += size;
            if (size == 0) {
                /* What it wrote last may have come after its stream was looked at, and before its status was. */
                mask |= ENDED | (poll(at, 2, 0) > 0 ? streams(at) : 0);
            } else if (*filled == room) {
                mask |= FULL;
            }
        }
        if (mask) return mask;
    }
}

static PyObject *listen_to(PyObject *module, PyObject *args) {
    int out, err, status, watched, ms, mask;
    Py_ssize_t filled;
    Py_buffer text;
    (void)module;
    if (!PyArg_ParseTuple(args, "iiiiiw*n", &out, &err, &status, &watched, &ms, &text, &filled)) return NULL;
    if (filled < 0 || filled >= text.len) {
        PyBuffer_Release(&text);
        PyErr_SetString(PyExc_ValueError, "no room for the status");
        return NULL;
    }
    struct pollfd at[] = {{out, POLLIN, 0}, {err, POLLIN, 0}, {status, POLLIN, 0}, {watched, POLLIN, 0}};
    Py_BEGIN_ALLOW_THREADS
    mask = listen_all(at, ms, text.buf, text.len, &filled);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&text);
    if (mask < 0) return PyErr_SetFromErrno(PyExc_OSError);
    if (PyErr_CheckSignals()) return NULL;
    return Py_BuildValue("(in)", mask, filled);
}

static PyObject *close_ends(PyObject *module, PyObject *fds) {
    int all[FDS], count = 0;
    (void)module;
    for (; count < FDS && count < PyTuple_GET_SIZE(fds); count++) {
        all[count] = (int)PyLong_AsLong(PyTuple_GET_ITEM(fds, count));
        if (all[count] < 0 && PyErr_Occurred()) return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    close_all(all, count);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* Return 1 when it is written, 0 when something stands there, -1 with errno. */
static int write_file(const char *path, const char *data, size_t length, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return errno == EEXIST ? 0 : -1;
    for (size_t done = 0; done < length;) {
        ssize_t size = write(fd, data + done, length - done);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return close_all(&fd, 1), -1;
        done += (size_t)size;
    }
    return close(fd) ? -1 : 1;
}

static PyObject *write_new(PyObject *module, PyObject *args) {
    PyObject *path, *found;
    Py_buffer data;
    unsigned mode;
    int written;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&y*I", PyUnicode_FSConverter, &path, &data, &mode)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    written = write_file(PyBytes_AS_STRING(path), data.buf, (size_t)data.len, (mode_t)mode);
    Py_END_ALLOW_THREADS
    found = written < 0 ? PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path) : PyBool_FromLong(written);
    PyBuffer_Release(&data);
    Py_DECREF(path);
    return found;
}

static PyObject *sweep(PyObject *module, PyObject *args) {
    PyObject *folders, *files;
    places all = {0};
    int clean;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &folders, &PyTuple_Type, &files)) return NULL;
    if (take_places(folders, files, &all)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    clean = sweep_all(&all);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(clean);
}

static PyMethodDef methods[] = {
    {"hand_over", hand_over, METH_VARARGS, "Make the pipes of a command and send its request; return our ends."},
    {"listen", listen_to, METH_VARARGS, "Wait for what a command says or its end; return what is ready."},
    {"close", close_ends, METH_VARARGS, "Close the descriptors, at most five."},
    {"write_new", write_new, METH_VARARGS, "Write a file where nothing stands; say whether nothing did."},
    {"sweep", sweep, METH_VARARGS, "Remove known files if there is nothing else in folders that are as made; say whether."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_worker", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__worker(void);
PyMODINIT_FUNC PyInit__worker(void) {
    return PyModule_Create(&definition);
}

package v4l2

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A V4L2 device made of a FUSE file: the kernel passes ioctl, mmap and poll on a
// regular file to a FUSE server, and a V4L2 client asks for no more. The server
// must be another process than the client, which would wait for itself when it
// touches a mapped page. (Layouts: linux/fuse.h 7.31, linux/videodev2.h, 64 bit.)

// Operations of the FUSE protocol.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseRelease     = 18
	fuseInterrupt   = 36
	fuseInit        = 26
	fuseOpendir     = 27
	fuseIoctl       = 39
	fusePoll        = 40
	fuseBatchForget = 42

	fuseNotifyPoll  = 1
	fuseNotifyStore = 4
)

// Numbers of the V4L2 ioctls.
const (
	vidQuerycap   = 0
	vidEnumFormat = 2
	vidSetFormat  = 5
	vidReqbufs    = 8
	vidQuerybuf   = 9
	vidQbuf       = 15
	vidDqbuf      = 17
	vidStreamon   = 18
	vidStreamoff  = 19
	vidSetParm    = 22
	vidEnumSizes  = 74
)

const (
	fuseW, fuseH = 640, 480
	fuseBuffer   = fuseW * fuseH * 2 // a multiple of the page
	fuseFPS      = 30
)

var le = binary.LittleEndian

// fuseCamera serves one device file.
type fuseCamera struct {
	fd    int
	fault string    // "", "eio" or "enodev" after ten frames
	files [2][]byte // a YUYV and a MJPG frame
	codes [2]uint32 // their formats

	mu           sync.Mutex // protects the fields below
	format       int        // index into files
	buffers, seq uint32
	queued, done []uint32
	used         [buffers]uint32
	streaming    bool
	pollers      []uint64
}

// serveFuse mounts a camera on dir/video0 and serves it until it is killed.
func serveFuse(dir, fault string, yuyv, mjpg []byte) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Mount("fusecam", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	if err != nil {
		return err
	}
	c := &fuseCamera{fd: fd, fault: fault, files: [2][]byte{yuyv, mjpg}, codes: [2]uint32{uint32(formatYUYV), uint32(formatMJPG)}}
	go c.film()
	request := make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, request)
		switch err {
		case nil:
			c.serve(le.Uint32(request[4:]), le.Uint64(request[8:]), le.Uint64(request[16:]), request[40:n])
		case unix.EINTR, unix.EAGAIN, unix.ENOENT:
		default:
			return err // unmounted
		}
	}
}

// reply answers a request; to unique 0 it notifies, with the code as errno.
func (c *fuseCamera) reply(unique uint64, errno int32, body []byte) {
	out := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	out = le.AppendUint32(out, uint32(errno))
	out = le.AppendUint64(out, unique)
	unix.Write(c.fd, append(out, body...)) // a client that left is nobody's error
}

// film fills a buffer at each tick and tells whoever polls.
func (c *fuseCamera) film() {
	for range time.Tick(time.Second / fuseFPS) {
		c.mu.Lock()
		if !c.streaming || len(c.queued) == 0 {
			c.mu.Unlock()
			continue
		}
		i, frame := c.queued[0], c.files[c.format]
		c.queued = c.queued[1:]
		c.mu.Unlock()
		c.store(uint64(i)*fuseBuffer, frame)
		c.mu.Lock()
		c.used[i] = uint32(len(frame))
		c.done = append(c.done, i)
		c.seq++
		for _, handle := range c.pollers {
			go c.reply(0, fuseNotifyPoll, le.AppendUint64(nil, handle))
		}
		c.pollers = nil
		c.mu.Unlock()
	}
}

// store puts data into the page cache of the file, where the client's mapping
// sees it. Only whole pages count as filled.
func (c *fuseCamera) store(off uint64, data []byte) {
	data = append(slices.Clone(data), make([]byte, -len(data)&4095)...)
	body := le.AppendUint64(nil, 2) // the node
	body = le.AppendUint64(body, off)
	body = le.AppendUint32(body, uint32(len(data)))
	c.reply(0, fuseNotifyStore, append(le.AppendUint32(body, 0), data...))
}

func (c *fuseCamera) serve(op uint32, unique, node uint64, body []byte) {
	switch op {
	case fuseInit:
		out := make([]byte, 64)
		le.PutUint32(out, 7)
		le.PutUint32(out[4:], min(31, le.Uint32(body[4:])))
		le.PutUint32(out[8:], le.Uint32(body[8:]))
		le.PutUint32(out[20:], 1<<17) // the longest write
		le.PutUint32(out[24:], 1)     // granularity of times
		c.reply(unique, 0, out)
	case fuseLookup:
		if string(body[:len(body)-1]) != "video0" {
			c.reply(unique, -int32(unix.ENOENT), nil)
			return
		}
		out := make([]byte, 40)
		le.PutUint64(out, 2)
		le.PutUint64(out[16:], 3600)
		le.PutUint64(out[24:], 3600)
		c.reply(unique, 0, append(out, attributes(false)...))
	case fuseGetattr, fuseSetattr:
		out := make([]byte, 16)
		le.PutUint64(out, 3600)
		c.reply(unique, 0, append(out, attributes(node == 1)...))
	case fuseOpen, fuseOpendir:
		out := make([]byte, 16)
		le.PutUint32(out[8:], 2) // keep what is in the page cache
		c.reply(unique, 0, out)
	case fuseRead:
		c.reply(unique, 0, make([]byte, le.Uint32(body[16:])))
	case fuseWrite: // a client that made its mapping dirty
		c.reply(unique, 0, append(slices.Clone(body[16:20]), 0, 0, 0, 0))
	case fuseIoctl:
		out := make([]byte, max(int(le.Uint32(body[28:])), len(body)-32))
		copy(out, body[32:])
		errno := c.ioctl(le.Uint32(body[12:])&0xff, out)
		if errno != 0 {
			c.reply(unique, -int32(errno), nil)
			return
		}
		c.reply(unique, 0, append(make([]byte, 16), out[:le.Uint32(body[28:])]...))
	case fusePoll:
		c.reply(unique, 0, c.poll(le.Uint64(body[8:])))
	case fuseForget, fuseBatchForget, fuseInterrupt: // these want no answer
	case fuseRelease:
		c.mu.Lock()
		c.streaming, c.seq, c.queued, c.done = false, 0, nil, nil
		c.mu.Unlock()
		c.reply(unique, 0, nil)
	default:
		c.reply(unique, -int32(unix.ENOSYS), nil)
	}
}

// attributes are those of the device file, or of the folder that it lies in.
func attributes(dir bool) []byte {
	a := make([]byte, 88)
	node, mode := uint64(2), uint32(unix.S_IFREG|0o666)
	if dir {
		node, mode = 1, unix.S_IFDIR|0o755
	}
	le.PutUint64(a, node)
	le.PutUint64(a[8:], fuseBuffer*buffers)
	le.PutUint32(a[60:], mode)
	le.PutUint32(a[64:], 1)
	le.PutUint32(a[80:], 4096)
	return a
}

func (c *fuseCamera) poll(handle uint64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]byte, 8)
	if len(c.done) > 0 || c.failed() != 0 {
		le.PutUint32(out, unix.POLLIN)
	} else {
		c.pollers = append(c.pollers, handle)
	}
	return out
}

// failed is the error that the fault stands for, once it has set in.
func (c *fuseCamera) failed() syscall.Errno {
	if c.seq < 10 {
		return 0
	}
	return map[string]syscall.Errno{"eio": unix.EIO, "enodev": unix.ENODEV}[c.fault]
}

// ioctl changes b from the argument into the answer.
func (c *fuseCamera) ioctl(number uint32, b []byte) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := len(b) >= 4 && le.Uint32(b) == 0
	switch number {
	case vidQuerycap:
		copy(b[16:], "FUSE camera")
		le.PutUint32(b[84:], 0x84200001) // captures, streams
		le.PutUint32(b[88:], 0x04200001)
	case vidEnumFormat:
		i := le.Uint32(b)
		if i >= uint32(len(c.codes)) {
			return unix.EINVAL
		}
		le.PutUint32(b[44:], c.codes[i])
	case vidEnumSizes:
		if !first {
			return unix.EINVAL
		}
		le.PutUint32(b[8:], 1) // discrete
		le.PutUint32(b[12:], fuseW)
		le.PutUint32(b[16:], fuseH)
	case vidSetFormat:
		c.format = max(slices.Index(c.codes[:], le.Uint32(b[16:])), 0)
		le.PutUint32(b[8:], fuseW)
		le.PutUint32(b[12:], fuseH)
		le.PutUint32(b[16:], c.codes[c.format])
	case vidReqbufs:
		c.buffers = min(le.Uint32(b), buffers)
		le.PutUint32(b, c.buffers)
	case vidQuerybuf:
		le.PutUint32(b[64:], le.Uint32(b)*fuseBuffer)
		le.PutUint32(b[72:], fuseBuffer)
	case vidQbuf:
		c.queued = append(c.queued, le.Uint32(b))
	case vidDqbuf:
		return c.dequeue(b)
	case vidStreamon, vidStreamoff:
		c.streaming = number == vidStreamon
	case vidSetParm:
	default:
		return unix.ENOTTY
	}
	return 0
}

func (c *fuseCamera) dequeue(b []byte) syscall.Errno {
	if errno := c.failed(); errno != 0 {
		return errno
	}
	if len(c.done) == 0 {
		return unix.EAGAIN
	}
	i := c.done[0]
	c.done = c.done[1:]
	le.PutUint32(b, i)
	le.PutUint32(b[8:], c.used[i])
	return 0
}

// serveFuseMain is the child process: its arguments are the folder to mount on,
// the fault, and the files of the frames.
func serveFuseMain(args []string) error {
	var frames [2][]byte
	for i, name := range args[2:4] {
		var err error
		if frames[i], err = os.ReadFile(name); err != nil {
			return err
		}
	}
	return serveFuse(args[0], args[1], frames[0], frames[1])
}

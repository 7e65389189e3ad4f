package fusecam

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Operations of the FUSE protocol. (Layouts: linux/fuse.h 7.31, 64 bit.)
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseRelease     = 18
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseReleasedir  = 29
	fuseInterrupt   = 36
	fuseIoctl       = 39
	fusePoll        = 40
	fuseBatchForget = 42

	fuseNotifyPoll  = 1
	fuseNotifyStore = 4
)

// root is the node of the folder; webcam i is node firstNode+i.
const (
	root      = 1
	firstNode = 2
)

var le = binary.LittleEndian

// bus is the server's side of a Bus.
type bus struct {
	fd      int
	handles atomic.Uint64 // the last one given out
	devices []*device

	mu    sync.Mutex // protects nodes
	nodes []string   // names of the devices, "" for those that are not plugged in
}

// serve mounts webcams on dir and follows the orders of in to its end.
func serve(dir string, in io.Reader, out io.Writer) error {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	var first order
	if !lines.Scan() {
		return errors.New("no order")
	}
	if err := json.Unmarshal(lines.Bytes(), &first); err != nil {
		return err
	}
	b := &bus{}
	for i, w := range first.Webcams {
		d, err := newDevice(b, uint64(firstNode+i), w)
		if err != nil {
			return err
		}
		b.devices, b.nodes = append(b.devices, d), append(b.nodes, w.Node)
	}
	if err := b.mount(dir); err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	go b.answerAll()
	for _, d := range b.devices {
		go d.film()
	}
	for o := (order{}); ; o = (order{}) {
		if err := answers.Encode(b.report(o.Cam)); err != nil || !lines.Scan() {
			return err
		}
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		b.obey(o)
	}
}

func (b *bus) mount(dir string) (err error) {
	if b.fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open /dev/fuse: %w", err)
	}
	err = unix.Mount("fusecam", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", b.fd))
	if err != nil {
		return fmt.Errorf("mount FUSE: %w", err)
	}
	return nil
}

func (b *bus) obey(o order) {
	b.mu.Lock()
	if o.Node != nil {
		b.nodes[o.Cam] = *o.Node
	}
	if o.Swap != nil {
		b.nodes[o.Cam], b.nodes[*o.Swap] = b.nodes[*o.Swap], b.nodes[o.Cam]
	}
	gone := b.nodes[o.Cam] == ""
	b.mu.Unlock()
	b.devices[o.Cam].obey(o.Fault, gone)
	if o.Swap != nil { // whoever is moved was unplugged for a moment
		b.devices[o.Cam].cut()
		b.devices[*o.Swap].cut()
	}
}

func (b *bus) report(i int) answer {
	if len(b.devices) == 0 {
		return answer{}
	}
	return b.devices[i].report()
}

// answerAll serves the kernel until the file system is unmounted.
func (b *bus) answerAll() {
	request := make([]byte, 1<<20)
	for {
		n, err := unix.Read(b.fd, request)
		switch err {
		case nil:
			b.answer(le.Uint32(request[4:]), le.Uint64(request[8:]), le.Uint64(request[16:]), request[40:n])
		case unix.EINTR, unix.EAGAIN, unix.ENOENT:
		default:
			return
		}
	}
}

// reply answers a request; to unique 0 it notifies, with the code as errno.
func (b *bus) reply(unique uint64, errno int32, body []byte) {
	out := le.AppendUint32(nil, uint32(16+len(body)))
	out = le.AppendUint32(out, uint32(errno))
	out = le.AppendUint64(out, unique)
	_, _ = unix.Write(b.fd, append(out, body...)) // a client that left is nobody's error
}

func (b *bus) refuse(unique uint64, errno syscall.Errno) { b.reply(unique, -int32(errno), nil) }

// store puts data into the page cache of a file, where the client's mapping sees
// it. Only whole pages count as filled.
func (b *bus) store(node, off uint64, data []byte) {
	data = append(slices.Clone(data), make([]byte, -len(data)&4095)...)
	body := le.AppendUint64(nil, node)
	body = le.AppendUint64(body, off)
	body = le.AppendUint32(body, uint32(len(data)))
	b.reply(0, fuseNotifyStore, append(le.AppendUint32(body, 0), data...))
}

func (b *bus) answer(op uint32, unique, node uint64, body []byte) {
	switch op {
	case fuseInit:
		out := make([]byte, 64)
		le.PutUint32(out, 7)
		le.PutUint32(out[4:], min(31, le.Uint32(body[4:])))
		le.PutUint32(out[8:], le.Uint32(body[8:]))
		le.PutUint32(out[20:], 1<<17) // the longest write
		le.PutUint32(out[24:], 1)     // granularity of times
		b.reply(unique, 0, out)
	case fuseLookup:
		b.lookup(unique, string(body[:len(body)-1]))
	case fuseGetattr, fuseSetattr:
		out := make([]byte, 16)
		le.PutUint64(out, 3600)
		b.reply(unique, 0, append(out, b.attributes(node)...))
	case fuseOpen, fuseOpendir:
		out := make([]byte, 16)
		le.PutUint64(out, b.handles.Add(1))
		le.PutUint32(out[8:], 2) // keep what is in the page cache
		b.reply(unique, 0, out)
	case fuseReaddir:
		b.list(unique, le.Uint64(body[8:]))
	case fuseRead:
		b.reply(unique, 0, make([]byte, le.Uint32(body[16:])))
	case fuseWrite: // a client that made its mapping dirty
		b.reply(unique, 0, append(slices.Clone(body[16:20]), 0, 0, 0, 0))
	case fuseIoctl:
		b.ioctl(unique, node, body)
	case fusePoll:
		b.reply(unique, 0, b.devices[node-firstNode].poll(le.Uint64(body[8:])))
	case fuseForget, fuseBatchForget, fuseInterrupt: // these want no answer
	case fuseRelease:
		b.devices[node-firstNode].release(le.Uint64(body))
		b.reply(unique, 0, nil)
	case fuseReleasedir:
		b.reply(unique, 0, nil)
	default:
		b.refuse(unique, unix.ENOSYS)
	}
}

// lookup answers what a name stands for. Nothing of it may be remembered: names
// move.
func (b *bus) lookup(unique uint64, name string) {
	b.mu.Lock()
	i := slices.Index(b.nodes, name)
	b.mu.Unlock()
	if i < 0 || name == "" {
		b.refuse(unique, unix.ENOENT)
		return
	}
	node := uint64(firstNode + i)
	out := make([]byte, 40)
	le.PutUint64(out, node)
	le.PutUint64(out[24:], 3600) // for the attributes
	b.reply(unique, 0, append(out, b.attributes(node)...))
}

// list answers the names of the folder.
func (b *bus) list(unique, offset uint64) {
	var out []byte
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, name := range b.nodes {
		if name == "" || uint64(i) < offset {
			continue
		}
		out = le.AppendUint64(out, uint64(firstNode+i))
		out = le.AppendUint64(out, uint64(i+1))
		out = le.AppendUint32(out, uint32(len(name)))
		out = le.AppendUint32(out, unix.DT_REG)
		out = append(out, name...)
		out = append(out, make([]byte, -len(name)&7)...)
	}
	b.reply(unique, 0, out)
}

// attributes are those of a device file, or of the folder that they lie in.
func (b *bus) attributes(node uint64) []byte {
	a := make([]byte, 88)
	mode := uint32(unix.S_IFDIR | 0o755)
	if node != root {
		mode = unix.S_IFREG | 0o666
		le.PutUint64(a[8:], uint64(b.devices[node-firstNode].length)*buffers)
	}
	le.PutUint64(a, node)
	le.PutUint32(a[60:], mode)
	le.PutUint32(a[64:], 1)
	le.PutUint32(a[80:], 4096)
	return a
}

func (b *bus) ioctl(unique, node uint64, body []byte) {
	handle, length := le.Uint64(body), int(le.Uint32(body[28:]))
	arg := make([]byte, max(length, len(body)-32))
	copy(arg, body[32:])
	if errno := b.devices[node-firstNode].ioctl(handle, le.Uint32(body[12:])&0xff, arg); errno != 0 {
		b.refuse(unique, errno)
		return
	}
	b.reply(unique, 0, append(make([]byte, 16), arg[:length]...))
}

package fusecam

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of the V4L2 ioctls. (Layouts: linux/videodev2.h, 64 bit.)
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
	vidGetCtrl    = 27
	vidSetCtrl    = 28
	vidQueryCtrl  = 36
	vidEnumSizes  = 74
)

// The formats that a webcam has, and one that it has not.
var (
	yuyv = code("YUYV")
	mjpg = code("MJPG")
	nv12 = code("NV12")
)

func code(s string) uint32 { return le.Uint32([]byte(s)) }

// buffers is how many frames may be under way.
const buffers = 4

// device is one webcam.
type device struct {
	Webcam
	bus    *bus
	node   uint64
	length uint32 // of a buffer, in whole pages

	mu             sync.Mutex // protects the fields below
	fault          Fault
	gone           bool
	owner          uint64 // the handle that streams; 0: none
	format         uint32
	width, height  int // of what is sent
	streaming      bool
	opens          int
	queued, filled []uint32
	used           [buffers]uint32
	seq            int
	pollers        []uint64
	controls       controls
	scene          *scene
}

func newDevice(b *bus, node uint64, w Webcam) (*device, error) {
	i := node - firstNode
	if w.Width == 0 {
		w.Width, w.Height = 640, 480
	}
	if w.FPS == 0 {
		w.FPS = 30
	}
	if w.Card == "" {
		w.Card = fmt.Sprintf("FUSE camera %d", i)
	}
	if w.Bus == "" {
		w.Bus = fmt.Sprintf("usb-fuse-%d", i)
	}
	d := &device{Webcam: w, bus: b, node: node, length: uint32(2 * w.Width * w.Height), fault: w.Fault, gone: w.Node == "", format: yuyv}
	if d.length%4096 != 0 {
		return nil, fmt.Errorf("a buffer of %d×%d pixels ends inside a page", w.Width, w.Height)
	}
	if !w.Bare {
		d.controls = newControls()
	}
	d.scene = newScene(w)
	return d, nil
}

func (d *device) obey(f *Fault, gone bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f != nil {
		d.fault = *f
	}
	if d.gone = gone; gone {
		d.owner, d.streaming = 0, false
	}
	d.wake()
}

// cut ends whatever stream there is, as unplugging does.
func (d *device) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owner, d.streaming = 0, false
	d.wake()
}

func (d *device) report() answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return answer{Controls: maps.Clone(d.controls.values), Opens: d.opens}
}

// film fills a buffer at each tick and tells whoever polls.
func (d *device) film() {
	for range time.Tick(time.Second / time.Duration(d.FPS)) {
		d.mu.Lock()
		if !d.streaming || len(d.queued) == 0 || d.fault == Stall {
			d.mu.Unlock()
			continue
		}
		i := d.queued[0]
		d.queued = d.queued[1:]
		view := view{d.format, d.width, d.height, d.controls.sensor(), d.fault, d.seq}
		d.mu.Unlock()
		frame, brightness := d.scene.frame(view)
		used := d.spoil(&frame, view)
		d.bus.store(d.node, uint64(i)*uint64(d.length), frame)
		d.mu.Lock()
		d.used[i] = used
		d.filled = append(d.filled, i)
		d.seq++
		d.controls.adapt(brightness)
		d.wake()
		d.mu.Unlock()
	}
}

// spoil does to a frame what the fault is, and returns the length to tell.
func (d *device) spoil(frame *[]byte, v view) uint32 {
	n := uint32(len(*frame))
	switch v.fault {
	case Short:
		return n / 2
	case Trailing:
		*frame = append(slices.Clone(*frame), slices.Repeat([]byte{0xff, 0xd8, 0x55}, int(d.length-n)/3)...)
		return d.length
	case Corrupt:
		*frame = slices.Clone(*frame)
		for i := len(*frame) / 2; i < len(*frame)/2+64; i++ {
			(*frame)[i] = 0xff - byte(i&1)*0x3f // markers where there may be none
		}
	}
	return n
}

// wake tells those who poll to look again.
func (d *device) wake() {
	for _, handle := range d.pollers {
		go d.bus.reply(0, fuseNotifyPoll, le.AppendUint64(nil, handle))
	}
	d.pollers = nil
}

func (d *device) poll(handle uint64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]byte, 8)
	switch {
	case d.gone || !d.streaming:
		le.PutUint32(out, unix.POLLERR|unix.POLLHUP)
	case len(d.filled) > 0 || d.fault == EIO:
		le.PutUint32(out, unix.POLLIN)
	default:
		d.pollers = append(d.pollers, handle)
	}
	return out
}

// release ends the stream of a client that closes its file.
func (d *device) release(handle uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owner == handle {
		d.owner, d.streaming, d.queued, d.filled = 0, false, nil, nil
	}
}

// ioctl changes b from the argument into the answer.
func (d *device) ioctl(handle uint64, number uint32, b []byte) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return unix.ENODEV
	}
	switch number {
	case vidQuerycap:
		copy(b, "fusecam")
		copy(b[16:47], d.Card)
		copy(b[48:79], d.Bus)
		le.PutUint32(b[84:], 0x84200001) // captures, streams
		le.PutUint32(b[88:], 0x04200001)
	case vidEnumFormat:
		i := le.Uint32(b)
		if i > 1 {
			return unix.EINVAL
		}
		le.PutUint32(b[44:], []uint32{yuyv, mjpg}[i])
	case vidEnumSizes:
		if le.Uint32(b) != 0 {
			return unix.EINVAL
		}
		le.PutUint32(b[8:], 1) // discrete
		le.PutUint32(b[12:], uint32(d.Width))
		le.PutUint32(b[16:], uint32(d.Height))
	case vidSetFormat:
		d.setFormat(b)
	case vidReqbufs:
		if d.owner != 0 && d.owner != handle || d.fault == Busy {
			return unix.EBUSY
		}
		d.owner, d.queued, d.filled, d.seq = handle, nil, nil, 0
		le.PutUint32(b, min(le.Uint32(b), buffers))
	case vidQuerybuf:
		le.PutUint32(b[64:], le.Uint32(b)*d.length)
		le.PutUint32(b[72:], d.length)
	case vidQueryCtrl, vidGetCtrl, vidSetCtrl:
		return d.controls.ioctl(number, b)
	case vidSetParm:
	default:
		return d.stream(handle, number, b)
	}
	return 0
}

// setFormat answers what it will send, and decides what it does.
func (d *device) setFormat(b []byte) {
	asked := le.Uint32(b[16:])
	d.format, d.width, d.height = asked, d.Width, d.Height
	if asked != mjpg {
		d.format = yuyv
	}
	switch d.fault {
	case OtherSize, Lie:
		d.width, d.height = d.Width/2, d.Height/2
	case OtherFmt:
		d.format = yuyv + mjpg - d.format
	case Foreign:
		d.format = nv12
	}
	told := d.width
	if d.fault == Lie {
		told = d.Width
	}
	le.PutUint32(b[8:], uint32(told))
	le.PutUint32(b[12:], uint32(told*d.Height/d.Width))
	le.PutUint32(b[16:], d.format)
}

// stream serves the calls of whoever owns the buffers.
func (d *device) stream(handle uint64, number uint32, b []byte) syscall.Errno {
	if d.owner != handle { // it was unplugged meanwhile, or never asked for buffers
		return unix.ENODEV
	}
	switch number {
	case vidQbuf:
		if i := le.Uint32(b); i < buffers {
			d.queued = append(d.queued, i)
		}
	case vidDqbuf:
		return d.dequeue(b)
	case vidStreamon:
		d.streaming = true
		d.opens++
	case vidStreamoff:
		d.streaming = false
	default:
		return unix.ENOTTY
	}
	return 0
}

func (d *device) dequeue(b []byte) syscall.Errno {
	switch {
	case d.fault == EIO:
		return unix.EIO
	case len(d.filled) == 0:
		return unix.EAGAIN
	}
	i := d.filled[0]
	d.filled = d.filled[1:]
	le.PutUint32(b, i)
	le.PutUint32(b[8:], d.used[i])
	if d.fault == Nonsense {
		le.PutUint32(b, 77)
	}
	return 0
}

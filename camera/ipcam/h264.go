package ipcam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os/exec"
	"sync"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtp"

	"github.com/cypherface/edge/camera"
)

var errNoDecoder = errors.New("H.264 is decoded by the program ffmpeg, which is not installed")

// decoderProgram is looked up in PATH.
const decoderProgram = "ffmpeg"

// decoderArgs have it give each frame at once: Annex B in, YUV4MPEG2 out.
var decoderArgs = []string{
	"-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1", "-flags", "low_delay", "-fflags", "nobuffer",
	"-probesize", "32", "-analyzeduration", "0", "-f", "h264", "-i", "pipe:0",
	"-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "pipe:1",
}

// units is how many access units may wait for the decoder. One that is slower
// than the camera loses whole frames until the next key frame, rather than fall
// behind.
const units = 8

// h264 pipes a stream through the decoder.
func (s *stream) h264(ctx context.Context, name string, client *gortsplib.Client, desc *description.Session, media *description.Media, f *format.H264) error {
	if _, err := exec.LookPath(decoderProgram); err != nil {
		return errNoDecoder
	}
	depacket, err := f.CreateDecoder()
	if err != nil {
		return err
	}
	if _, err := client.Setup(desc.BaseURL, media, 0, 0); err != nil {
		return err
	}
	d := &decoder{queue: make(chan [][]byte, units)}
	s.pump = camera.NewPump(name+" (H.264)", d.image)
	sps, pps := f.SafeParams()
	if err := d.start(ctx, s, sps, pps); err != nil {
		return err
	}
	waiting := true // for a key frame
	client.OnPacketRTP(media, f, func(p *rtp.Packet) {
		unit, err := depacket.Decode(p)
		if err != nil {
			return // more packets to come, or one that is damaged
		}
		if waiting && !h264.IsRandomAccess(unit) {
			return
		}
		kept := make([][]byte, len(unit))
		for i, nalu := range unit {
			kept[i] = bytes.Clone(nalu)
		}
		select {
		case d.queue <- kept:
			waiting = false
		default:
			waiting = true
		}
	})
	return nil
}

// decoder is an ffmpeg process.
type decoder struct {
	queue chan [][]byte
	mu    sync.Mutex // protects clip
	clip  *camera.Y4MReader
}

// start runs the process until ctx ends, or it does; the stream is told of its end.
func (d *decoder) start(ctx context.Context, s *stream, sps, pps []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, decoderProgram, decoderArgs...)
	var said bytes.Buffer
	cmd.Stderr = &limited{w: &said, left: 1 << 10}
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return fmt.Errorf("start the decoder: %w", err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		defer in.Close()
		d.feed(ctx, in, sps, pps)
	})
	group.Go(func() {
		err := d.read(out, s)
		cancel()
		if waitErr := cmd.Wait(); ctx.Err() == nil || said.Len() > 0 {
			err = fmt.Errorf("%w: %v: %s", err, waitErr, bytes.TrimSpace(said.Bytes()))
		}
		s.dead <- fmt.Errorf("decode H.264: %w", err)
	})
	s.stop = func() { cancel(); group.Wait() }
	return nil
}

// feed writes the access units, those of the session's description first.
func (d *decoder) feed(ctx context.Context, in io.Writer, sps, pps []byte) {
	if sps != nil && pps != nil {
		if !write(in, [][]byte{sps, pps}) {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case unit := <-d.queue:
			if !write(in, unit) {
				return // its end is told by its output
			}
		}
	}
}

func write(w io.Writer, unit [][]byte) bool {
	b, err := h264.AnnexB(unit).Marshal()
	if err != nil {
		return true // a unit of nothing
	}
	_, err = w.Write(b)
	return err == nil
}

// read puts the frames that come out.
func (d *decoder) read(out io.Reader, s *stream) error {
	clip, err := camera.ReadY4M(out)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.clip = clip
	d.mu.Unlock()
	var fill camera.Raw
	for {
		if fill.Data, err = clip.Next(fill.Data); err != nil {
			return err
		}
		s.put(&fill)
	}
}

// image is the decode of the pump.
func (d *decoder) image(b []byte, into *image.YCbCr) (*image.YCbCr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clip.Image(b, into)
}

// limited keeps the beginning of what is written.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	if n > 0 {
		if _, err := l.w.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

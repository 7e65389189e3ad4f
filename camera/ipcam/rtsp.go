package ipcam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/cypherface/edge/camera"
)

// openRTSP sets up the first stream of pictures that can be read, Motion JPEG
// before H.264, and plays it.
func (t target) openRTSP(ctx context.Context) (_ camera.Source, err error) {
	u, err := base.ParseURL(t.url.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", camera.ErrURL, errors.New("not an RTSP URL"))
	}
	limit, done := context.WithTimeout(ctx, openLimit)
	defer done()
	var opening atomic.Bool
	opening.Store(true)
	defer opening.Store(false)
	tcp := gortsplib.TransportTCP // nothing is lost on the way, and one port passes firewalls
	client := &gortsplib.Client{
		Scheme: u.Scheme, Host: u.Host, Transport: &tcp, TLSConfig: t.tls, UserAgent: "cypherface",
		ReadTimeout: answerLimit, WriteTimeout: dialLimit,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(limit, network, address)
			if err == nil {
				// Under a handshake that hangs the client notices nothing else.
				context.AfterFunc(limit, func() {
					if opening.Load() {
						conn.Close()
					}
				})
			}
			return conn, err
		},
		OnDecodeError: func(error) {}, // a damaged packet is a missing frame
	}
	if err := client.Start2(); err != nil {
		return nil, refusal(err)
	}
	defer func() {
		if err != nil {
			client.Close()
			err = refusal(err)
		}
	}()
	desc, _, err := client.Describe(u)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stream, err := t.choose(life, client, desc)
	if err == nil {
		_, err = client.Play(nil)
	}
	if err != nil {
		cancel()
		if stream != nil {
			stream.stop()
		}
		return nil, err
	}
	s := &source{Pump: stream.pump, cancel: cancel}
	go func() {
		err := t.play(life, client, stream)
		stream.stop()
		s.End(err)
	}()
	return s, nil
}

// stream is what comes out of an RTSP session.
type stream struct {
	pump *camera.Pump
	beat chan struct{} // holds a token after each frame
	stop func()        // ends the decoder, if there is one, and waits for it
	dead chan error    // of the decoder
}

// play waits for the end of a session.
func (t target) play(ctx context.Context, client *gortsplib.Client, s *stream) error {
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	watch := time.NewTimer(stall)
	defer watch.Stop()
	finish := func(err error) error {
		client.Close()
		<-ended
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return finish(camera.ErrClosed)
		case <-s.beat:
			watch.Reset(stall)
		case <-watch.C:
			return finish(t.fault("read", errStalled))
		case err := <-s.dead:
			return finish(t.fault("read", err))
		case err := <-ended:
			client.Close()
			return t.fault("read", fmt.Errorf("%w: %w", errEnded, refusal(err)))
		}
	}
}

// choose sets up a stream.
func (t target) choose(ctx context.Context, client *gortsplib.Client, desc *description.Session) (*stream, error) {
	s := &stream{beat: make(chan struct{}, 1), stop: func() {}, dead: make(chan error, 1)}
	var jpeg *format.MJPEG
	if media := desc.FindFormat(&jpeg); media != nil {
		s.pump = camera.NewPump(t.name+" (MJPEG)", decodeJPEG)
		return s, s.jpeg(client, desc, media, jpeg)
	}
	var h264 *format.H264
	if media := desc.FindFormat(&h264); media != nil {
		return s, s.h264(ctx, t.name, client, desc, media, h264)
	}
	var has []string
	for _, m := range desc.Medias {
		for _, f := range m.Formats {
			has = append(has, f.Codec())
		}
	}
	return nil, fmt.Errorf("%w that can be read: it has %q, and MJPEG and H264 work", errStream, has)
}

func (s *stream) put(fill *camera.Raw) {
	fill.Time = time.Now()
	s.pump.Put(fill)
	select {
	case s.beat <- struct{}{}:
	default:
	}
}

func (s *stream) jpeg(client *gortsplib.Client, desc *description.Session, media *description.Media, f *format.MJPEG) error {
	decoder, err := f.CreateDecoder()
	if err != nil {
		return err
	}
	if _, err := client.Setup(desc.BaseURL, media, 0, 0); err != nil {
		return err
	}
	var fill camera.Raw
	client.OnPacketRTP(media, f, func(p *rtp.Packet) {
		frame, err := decoder.Decode(p)
		if err != nil {
			return // more packets to come, or one that is damaged
		}
		fill.Data = append(fill.Data[:0], frame...)
		s.put(&fill)
	})
	return nil
}

// refusal finds the errors that a hint is known for.
func refusal(err error) error {
	if e, ok := errors.AsType[liberrors.ErrClientBadStatusCode](err); ok {
		switch e.Code {
		case base.StatusUnauthorized, base.StatusForbidden:
			return fmt.Errorf("%w (%d)", errLogin, e.Code)
		case base.StatusNotFound:
			return fmt.Errorf("%w: the camera answers %d", errStream, e.Code)
		}
	}
	return err
}

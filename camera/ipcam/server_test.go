package ipcam

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/icholy/digest"
	"github.com/pion/rtp"

	"github.com/cypherface/edge/internal/synthface"
)

const (
	user     = "admin"
	password = "s3cret/pass:word"
)

// shots are the frames that every camera of the tests shows: a rendered person.
var shots = sync.OnceValue(func() (all [][]byte) {
	ada := synthface.Cast()[0]
	for i := range 4 {
		shot := synthface.Render(synthface.Scene{Width: 320, Height: 240, Seed: int64(i)}, synthface.Subject{Person: ada, Pose: synthface.Pose{Yaw: float64(2 * i)}})
		var b bytes.Buffer
		if err := jpeg.Encode(&b, shot.Image, &jpeg.Options{Quality: 90}); err != nil {
			panic(err)
		}
		all = append(all, b.Bytes())
	}
	return all
})

const every = 50 * time.Millisecond // between frames

// webServer is a camera that speaks HTTP.
type webServer struct {
	*httptest.Server
	auth     string // "", basic or digest
	stalls   atomic.Bool
	requests atomic.Int64
	cut      chan struct{} // each token ends a stream
}

func newWebServer(t *testing.T, auth string, secure bool) *webServer {
	s := &webServer{auth: auth, cut: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/video", s.stream("multipart/x-mixed-replace; boundary=--frame"))
	mux.HandleFunc("/shot.jpg", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/jpeg")
		w.Write(shots()[s.requests.Add(1)%4])
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>welcome") })
	mux.Handle("/elsewhere", http.RedirectHandler("http://127.0.0.2:1/video", http.StatusFound))
	mux.Handle("/moved", http.RedirectHandler("/video", http.StatusFound))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admits(w, r) {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
	if s.Server = httptest.NewUnstartedServer(handler); secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *webServer) admits(w http.ResponseWriter, r *http.Request) bool {
	switch s.auth {
	case "basic":
		w.Header().Set("WWW-Authenticate", `Basic realm="camera"`)
		u, p, ok := r.BasicAuth()
		return ok && u == user && p == password
	case "digest":
		chal := digest.Challenge{Realm: "camera", Nonce: "dcd98b7102dd", Algorithm: "MD5", QOP: []string{"auth"}}
		w.Header().Add("WWW-Authenticate", `Basic realm="camera"`)
		w.Header().Add("WWW-Authenticate", chal.String())
		given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
		if err != nil {
			return false
		}
		want, err := digest.Digest(&chal, digest.Options{Method: r.Method, URI: r.URL.RequestURI(), Count: given.Nc, Cnonce: given.Cnonce, Username: user, Password: password})
		return err == nil && given.Username == user && given.Response == want.Response
	}
	return true
}

// stream sends frames until the client goes or a cut.
func (s *webServer) stream(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-r.Context().Done():
				return
			case <-s.cut:
				return
			case <-tick.C:
			}
			if s.stalls.Load() {
				continue
			}
			frame := shots()[i%4]
			fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(frame), frame)
			w.(http.Flusher).Flush()
		}
	}
}

// rtspServer is a camera that speaks RTSP.
type rtspServer struct {
	t        *testing.T
	address  string
	format   format.Format
	encode   func(i int) ([]*rtp.Packet, error)
	password bool
	tls      *tls.Config // nil: plain
	stalls   atomic.Bool
	played   atomic.Int64

	server *gortsplib.Server
	stream *gortsplib.ServerStream
	cancel context.CancelFunc
	sent   sync.WaitGroup
}

// newRTSPServer starts a camera with one stream.
func newRTSPServer(t *testing.T, f format.Format, encode func(i int) ([]*rtp.Packet, error)) *rtspServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rtspServer{t: t, address: l.Addr().String(), format: f, encode: encode}
	l.Close()
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *rtspServer) url(path string) string { return "rtsp://" + s.address + path }

// start switches the camera on, stop off.
func (s *rtspServer) start() {
	s.t.Helper()
	s.server = &gortsplib.Server{Handler: s, RTSPAddress: s.address, TLSConfig: s.tls}
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{s.format}}
	s.stream = &gortsplib.ServerStream{Server: s.server, Desc: &description.Session{Medias: []*description.Media{media}}}
	if err := s.stream.Initialize(); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	stream := s.stream
	s.sent.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			packets, err := s.encode(i)
			if err != nil {
				s.t.Error(err)
				return
			}
			for _, p := range packets {
				p.Timestamp += uint32(i) * 90000 / 20
				if !s.stalls.Load() {
					_ = stream.WritePacketRTP(media, p) // nobody may watch
				}
			}
		}
	})
}

func (s *rtspServer) stop() {
	s.cancel()
	s.sent.Wait()
	s.stream.Close()
	s.server.Close()
}

func (s *rtspServer) admits(c *gortsplib.ServerConn, r *base.Request) bool {
	return !s.password || c.VerifyCredentials(r, user, password)
}

// answer is one that the server may add to.
func answer(code base.StatusCode) *base.Response { return &base.Response{StatusCode: code} }

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (s *rtspServer) OnDescribe(c *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	switch {
	case !s.admits(c.Conn, c.Request):
		return answer(base.StatusUnauthorized), nil, liberrors.ErrServerAuth{}
	case c.Path != "/live":
		return answer(base.StatusNotFound), nil, nil
	}
	return answer(base.StatusOK), s.stream, nil
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (s *rtspServer) OnSetup(c *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !s.admits(c.Conn, c.Request) {
		return answer(base.StatusUnauthorized), nil, liberrors.ErrServerAuth{}
	}
	return answer(base.StatusOK), s.stream, nil
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (s *rtspServer) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	s.played.Add(1)
	return answer(base.StatusOK), nil
}

// mjpegServer shows the person as Motion JPEG.
func mjpegServer(t *testing.T) *rtspServer {
	f := &format.MJPEG{}
	encoder, err := f.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	return newRTSPServer(t, f, func(i int) ([]*rtp.Packet, error) { return encoder.Encode(shots()[i%4]) })
}

// h264Server shows the person as H.264.
func h264Server(t *testing.T) *rtspServer {
	units := h264Units(t)
	f := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	encoder, err := f.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	return newRTSPServer(t, f, func(i int) ([]*rtp.Packet, error) { return encoder.Encode(units[i%len(units)]) })
}

// h264Units encodes the person, with a key frame every 20, as access units.
func h264Units(t *testing.T) (units [][][]byte) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg (apt install ffmpeg): H.264 is neither made nor decoded")
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-loglevel", "error", "-f", "mjpeg", "-framerate", "20", "-i", "pipe:0",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-x264-params", "threads=1:slices=1", "-g", "20", "-pix_fmt", "yuv420p", "-f", "h264", "pipe:1")
	var frames bytes.Buffer
	for i := range 40 {
		frames.Write(shots()[i%4])
	}
	cmd.Stdin = &frames
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var nalus h264.AnnexB
	if err := nalus.Unmarshal(out); err != nil {
		t.Fatal(err)
	}
	var unit [][]byte
	for _, n := range nalus {
		unit = append(unit, n)
		if kind := n[0] & 31; kind == 1 || kind == 5 { // the slice that ends it
			units = append(units, unit)
			unit = nil
		}
	}
	return units
}

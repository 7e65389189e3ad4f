package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// Camera is one camera of the box, as the API watches it.
type Camera struct {
	Door     store.DoorID // "" for that of the settings
	Merchant store.MerchantID
	State    func() camera.State
	Open     func() camera.Source // a reader of its own
	Seen     func() verify.View   // what the workflow saw last
}

// CameraState is how a camera is, in words and numbers.
type CameraState struct {
	Door    store.DoorID  `json:"doorId,omitempty"` // "" for that of the settings
	Name    string        `json:"name,omitempty"`   // of the door
	Camera  string        `json:"camera"`           // live, fault, … and the device
	Trouble string        `json:"trouble,omitempty"`
	Alarm   bool          `json:"alarm,omitempty"` // somebody should look at it at once
	Notes   []string      `json:"notes,omitempty"` // what the device cannot do of what its URL asks
	Health  camera.Health `json:"health"`
	// Liveness is the proof of life that a door asks for, and Ask what the person there
	// is asked to do now, if anything.
	Liveness store.DoorLiveness `json:"liveness,omitempty"`
	Ask      string             `json:"ask,omitempty"`
}

// watching are the previews under way, and what people at the doors are asked for.
type watching struct {
	mu       sync.Mutex // protects the fields below
	previews map[store.DoorID]*preview
	asked    map[store.DoorID]*asked
}

// asked is what the person at a door is asked for.
type asked struct {
	now, told string
	move      string // of a challenge, that told asks for
	frames    int    // that now is so
}

// askAfter is how many frames long something must be wrong before it is said. The
// moves of a challenge are said at once.
const askAfter = 5

// Saw is told what the workflow sees at a door. When the person there is asked for
// something, or no longer is, the listeners to the events are told so, for a
// screen to show.
func (a *API) Saw(m store.MerchantID, door store.DoorID, v verify.View) {
	ask, move, reasons := "", "", []string(nil)
	if len(v.Faces) > 0 {
		ask, move, reasons = v.Faces[0].Ask, string(v.Faces[0].Move), v.Faces[0].Reasons
	}
	a.watching.mu.Lock()
	if a.watching.asked == nil {
		a.watching.asked = map[store.DoorID]*asked{}
	}
	s := a.watching.asked[door]
	if s == nil {
		s = &asked{}
		a.watching.asked[door] = s
	}
	if s.frames++; ask != s.now {
		s.now, s.frames = ask, 1
	}
	tell := (s.frames == askAfter || move != "") && s.told != ask
	if tell {
		s.told, s.move = ask, move
	}
	a.watching.mu.Unlock()
	if !tell {
		return
	}
	if ask == "" || move != "" {
		reasons = nil // a head that is told to turn is turned
	}
	a.feed.Publish(notice{Type: "guidance", Time: a.now().UTC(), DoorID: door, Action: "look", Ask: ask, Move: move, Reasons: reasons, merchantID: m})
}

// watched finds the camera that a request is about, of the caller's merchant.
func (a *API) watched(c *call) (Camera, error) {
	door := store.DoorID(c.r.URL.Query().Get("door"))
	if a.Cameras != nil {
		for _, cam := range a.Cameras() {
			if cam.Door == door && cam.Merchant == c.Merchant {
				if s := cam.State(); s.Status == camera.StatusFault {
					return cam, web.Fail(http.StatusServiceUnavailable, "the camera gives no picture").Because(s.Err)
				}
				return cam, nil
			}
		}
	}
	return Camera{}, web.Fail(http.StatusNotFound, "there is no such camera").Field("door", "is the id of a door with a camera, or left out for the box's own")
}

// record puts it on record that somebody looks through a camera, before he does.
func (a *API) record(c *call, cam Camera, action string) error {
	return a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventAccess, Action: action, Merchant: c.Merchant, Door: cam.Door, Outcome: store.OutcomeDone}, nil)
		return err
	})
}

// view begins to watch a camera.
func (a *API) view(c *call) (*sight, error) {
	cam, err := a.watched(c)
	if err != nil {
		return nil, err
	}
	a.watching.mu.Lock()
	if a.watching.previews == nil {
		a.watching.previews = map[store.DoorID]*preview{}
	}
	p := a.watching.previews[cam.Door]
	if p == nil {
		p = newPreview()
		a.watching.previews[cam.Door] = p
	}
	a.watching.mu.Unlock()
	s, ok := p.join(cam.Open, cam.Seen)
	if !ok {
		return nil, web.Fail(http.StatusServiceUnavailable, "too many watch this camera")
	}
	if err := a.record(c, cam, "camera_stream"); err != nil {
		s.leave()
		return nil, err
	}
	return s, nil
}

// cameraSnapshot is GET /camera/snapshot: one JPEG of what the camera sees.
func (a *API) cameraSnapshot(c *call) error {
	cam, err := a.watched(c)
	if err != nil {
		return err
	}
	if err := a.record(c, cam, "camera_snapshot"); err != nil {
		return err
	}
	p := newPreview()
	p.level = 0 // nearly as it is
	s, _ := p.join(cam.Open, cam.Seen)
	defer s.leave()
	limit, cancel := context.WithTimeout(c.ctx(), previewLimit)
	defer cancel()
	f, err := s.next(limit)
	if err != nil {
		return web.Fail(http.StatusServiceUnavailable, "the camera gives no picture").Because(err)
	}
	c.w.Header().Set("Content-Type", "image/jpeg")
	_, err = c.w.Write(f.JPEG)
	return err
}

// cameraStream is GET /camera/stream: what a camera sees until the viewer goes, as
// Motion JPEG, or by websocket with the faces.
func (a *API) cameraStream(c *call) error {
	err := c.authorize(auth.CameraView)
	socket := websocket.IsWebSocketUpgrade(c.r)
	late := socket && errors.Is(err, auth.ErrUnauthorized) && c.r.Header.Get("Authorization") == ""
	if err != nil && !late {
		return err
	}
	a.streams.Add(1)
	defer a.streams.Done()
	// The deadline of a request is not that of a stream.
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx()))
	defer cancel()
	defer context.AfterFunc(a.life, cancel)()
	c.r = c.r.WithContext(ctx)
	if socket {
		return a.cameraSocket(c, cancel, late)
	}
	s, err := a.view(c)
	if err != nil {
		return err
	}
	defer s.leave()
	return a.cameraMJPEG(c, s)
}

// cameraMJPEG sends frames until the viewer goes or may not look any more.
func (a *API) cameraMJPEG(c *call, s *sight) error {
	h := c.w.Header()
	h.Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	h.Set("Cache-Control", "no-store")
	out := http.NewResponseController(c.w)
	checked := time.Now()
	for {
		if time.Since(checked) > pingEvery {
			if c.authorize(auth.CameraView) != nil {
				return nil // it has begun: there is no other answer any more
			}
			checked = time.Now()
		}
		f, err := s.next(c.ctx())
		if err != nil {
			return nil
		}
		_ = out.SetWriteDeadline(time.Now().Add(writeLimit)) // fails only where the write will
		if _, err := fmt.Fprintf(c.w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(f.JPEG), f.JPEG); err != nil {
			return nil
		}
		if out.Flush() != nil {
			return nil
		}
	}
}

// cameraSocket sends each frame as a text that says what is in it and a binary
// message, a JPEG.
func (a *API) cameraSocket(c *call, cancel func(), late bool) error {
	upgrader := websocket.Upgrader{HandshakeTimeout: hello, Error: func(http.ResponseWriter, *http.Request, int, error) {}}
	var s *sight
	if !late { // what is wrong can still be told by a status
		var err error
		if s, err = a.view(c); err != nil {
			return err
		}
		defer s.leave()
	}
	conn, err := upgrader.Upgrade(c.w, c.r, nil)
	if err != nil {
		return web.Fail(http.StatusBadRequest, "the websocket handshake failed").Because(err)
	}
	defer conn.Close()
	conn.SetReadLimit(8 << 10)
	code, reason := a.sendFrames(c, conn, cancel, s)
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second)) // it may be gone
	return nil
}

// sendFrames serves a viewer to the end; s is nil for one who has to show a
// credential first.
func (a *API) sendFrames(c *call, conn *websocket.Conn, cancel func(), s *sight) (code int, reason string) {
	if s == nil {
		if err := firstMessage(c, conn, auth.CameraView); err != nil {
			return closeCode(err)
		}
		var err error
		if s, err = a.view(c); err != nil {
			return websocket.CloseTryAgainLater, "the camera cannot be watched"
		}
		defer s.leave()
	}
	go drain(conn, cancel)
	checked := time.Now()
	for {
		if time.Since(checked) > pingEvery {
			if err := c.authorize(auth.CameraView); err != nil {
				return closeCode(err)
			}
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit)) != nil {
				return websocket.CloseAbnormalClosure, ""
			}
			checked = time.Now()
		}
		wait, stop := context.WithTimeout(c.ctx(), pingEvery)
		f, err := s.next(wait)
		stop()
		switch {
		case a.life.Err() != nil:
			return websocket.CloseGoingAway, "the box is stopping"
		case c.ctx().Err() != nil:
			return websocket.CloseNormalClosure, ""
		case errors.Is(err, context.DeadlineExceeded):
			continue // the camera is away for a while
		case err != nil:
			return websocket.CloseGoingAway, "the camera is gone"
		}
		_ = conn.SetWriteDeadline(time.Now().Add(writeLimit)) // fails only where the write will
		if conn.WriteJSON(f.caption()) != nil || conn.WriteMessage(websocket.BinaryMessage, f.JPEG) != nil {
			return websocket.CloseAbnormalClosure, ""
		}
	}
}

// caption is the text before a frame.
func (f *shot) caption() any {
	type face struct {
		BoundingBox struct{ Width, Height, Left, Top float64 }
		Reasons     []string `json:"reasons,omitempty"`
		Ask         string   `json:"ask,omitempty"`
		Move        string   `json:"move,omitempty"`
	}
	faces := make([]face, len(f.Faces))
	w, h := float64(f.Frame.Dx()), float64(f.Frame.Dy())
	for i, s := range f.Faces {
		faces[i].Reasons, faces[i].Ask, faces[i].Move = s.Reasons, s.Ask, string(s.Move)
		box := &faces[i].BoundingBox
		box.Left, box.Top = (s.Box.X0-float64(f.Frame.Min.X))/w, (s.Box.Y0-float64(f.Frame.Min.Y))/h
		box.Width, box.Height = s.Box.Width()/w, s.Box.Height()/h
	}
	return map[string]any{"type": "frame", "seq": f.Seq, "time": f.Time.UTC(), "width": f.Size.X, "height": f.Size.Y, "faces": faces}
}

// loginPrefix begins the names of the secrets that are logins of cameras.
const loginPrefix = "camera-login:"

// cameraLogin is a login as the store keeps it, sealed.
type cameraLogin struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// CameraLogin returns what the store has for a camera on the network, by the host
// of its URL, with the port where that has one.
func CameraLogin(ctx context.Context, s store.Store, host string) (user, password string, ok bool, err error) {
	var secret store.Secret
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		secret, err = store.Get[store.Secret](tx, store.SecretName(loginPrefix+host))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", "", false, nil
	}
	var l cameraLogin
	if err == nil {
		err = json.Unmarshal(secret.Value, &l)
	}
	if err != nil {
		return "", "", false, fmt.Errorf("read the login of camera %s: %w", host, err)
	}
	return l.User, l.Password, true, nil
}

// putCameraLogin is PUT /control/camera/login: it keeps a name and password for a
// camera on the network, or with an empty user forgets them.
func (a *API) putCameraLogin(c *call) error {
	var in struct {
		Host string `json:"host"`
		cameraLogin
	}
	if err := web.Decode(c.r, &in, 0); err != nil {
		return err
	}
	if in.Host == "" || len(in.Host) > 255 {
		return web.Fail(http.StatusBadRequest, "a host is missing").Field("host", "is that of the camera's URL, with the port where it has one")
	}
	name := store.SecretName(loginPrefix + in.Host)
	value, err := json.Marshal(in.cameraLogin)
	if err != nil {
		return err
	}
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		old, err := store.Get[store.Secret](tx, name)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case in.User != "":
			old.Name, old.Value = name, value
			return store.Put(tx, &old)
		case err == nil:
			return store.Delete[store.Secret](tx, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]bool{"success": true})
}

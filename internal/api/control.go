package api

import (
	"context"
	"errors"
	"image"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// maxEnrolForm bounds the images of one enrolment through the control socket.
const maxEnrolForm = verify.MaxImages

// Control is the server for the box's own socket: the whole API, where the
// caller is an operator and needs no key, and beside it
//
//	GET  /control/status            how the box is
//	PUT  /control/camera/login      the name and password of a camera on the network
//	POST /control/login             a token of the owner, for an hour
//	POST /control/enrol/{userId}    several images at once (multipart, image), or {"source":"camera"}
//	POST /control/backup            a backup, or with {"sameBox":true} one for the master key
//	POST /control/store/check       begins a check of the store, ?repair=true mends it
//	POST /control/store/compact     begins a compaction
//	GET  /control/store             how that stands, and its result
//	POST /control/models/reload     has the box go over to the pack that is chosen now
//	POST /control/models/finish     ends a change of the pack without the people who hold it up
//
//	POST /control/join              the box joins the central of a claim code
//	POST /control/leave             and leaves it
//	POST /control/join/rotate       a new credential for the central
//
// and what accountOperations and auditOperations list.
//
// Where there are several merchants, the header merchantId says for which. The
// listener must admit nobody but the box's own user; see Peer.
func (a *API) Control() *web.Server {
	ops := append(append(operations(), storageOperations()...),
		operation{"GET", "/control/status", auth.UsersRead, (*API).status},
		operation{"PUT", "/control/camera/login", auth.CameraView, (*API).putCameraLogin},
		operation{"POST", "/control/login", auth.Keys, (*API).login},
		operation{"POST", "/control/enrol/{userId}", auth.Enrol, (*API).enrol},
		operation{"POST", "/control/backup", "", (*API).backup}) // who reaches the socket may: it is the box's own user
	ops = append(ops, packOperations()...)
	ops = append(ops, auditOperations()...)
	ops = append(ops, accountOperations()...)
	ops = append(ops, linkOperations()...)
	return a.server(ops, func(_ http.ResponseWriter, r *http.Request) (auth.Principal, error) {
		m, err := a.onlyMerchant(r)
		uid, _ := r.Context().Value(peerKey{}).(uint32)
		return auth.Operator(m, a.info.Environment, uid), err
	})
}

// onlyMerchant is the merchant for whom an operator acts.
func (a *API) onlyMerchant(r *http.Request) (m store.MerchantID, err error) {
	err = a.store.View(r.Context(), func(tx *store.Tx) error {
		if given := r.Header.Get("merchantId"); given != "" {
			found, err := store.Get[store.Merchant](tx, store.MerchantID(given))
			m = found.ID
			return err
		}
		page, err := store.List(tx, store.Merchants, store.Query[store.Merchant]{Limit: 2})
		switch {
		case err != nil:
			return err
		case len(page.Items) == 0:
			return web.Fail(http.StatusNotFound, "the box has no merchant yet")
		case len(page.Items) > 1:
			return web.Fail(http.StatusBadRequest, "the box has several merchants").Field("merchantId", "is required as a header; cypherface takes it as --merchant-id")
		}
		m = page.Items[0].ID
		return nil
	})
	return m, err
}

type peerKey struct{}

// Peer is the ConnContext of the http.Server on the control socket: it notes the
// user id of the process at the other end. The connection of a user who is
// neither root nor own is closed.
func Peer(own uint32) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		uid, err := peerUID(c)
		if err != nil || uid != 0 && uid != own {
			c.Close()
			return ctx
		}
		return AsPeer(ctx, uid)
	}
}

// AsPeer is the context of a call to Control by a user of the box.
func AsPeer(ctx context.Context, uid uint32) context.Context {
	return context.WithValue(ctx, peerKey{}, uid)
}

// operator is who calls through the control socket.
func operator(r *http.Request) store.Actor {
	uid, _ := r.Context().Value(peerKey{}).(uint32)
	return store.Actor{Kind: store.ActorCLI, ID: strconv.FormatUint(uint64(uid), 10)}
}

// unlimited lifts the limits of time from a request of an operator: it ends when
// he goes away.
func (c *call) unlimited() (context.Context, context.CancelFunc) {
	control := http.NewResponseController(c.w)
	// In the process of the caller there is no connection, and no limit either.
	_ = errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx()))
	stop := context.AfterFunc(c.ctx(), func() {
		if errors.Is(c.ctx().Err(), context.Canceled) {
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

// peerUID asks the kernel who connected.
func peerUID(c net.Conn) (uid uint32, err error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, net.UnknownNetworkError(c.LocalAddr().Network())
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); ctlErr != nil {
		return 0, ctlErr
	}
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// status is GET /control/status.
func (a *API) status(c *call) error {
	return c.reply(http.StatusOK, struct {
		Success     bool   `json:"success"`
		Environment string `json:"environment"`
		Version     string `json:"version"`
		Status
	}{true, string(a.info.Environment), a.Version, a.Config.Status()})
}

// enrol is POST /control/enrol/{userId}: it makes the images the person's face,
// in the place of an earlier one, or with the field add = true beside it.
func (a *API) enrol(c *call) error {
	id, err := store.ParseID[store.PersonID](c.r.PathValue("userId"))
	if err != nil {
		return badID("userId")
	}
	images, add, err := a.enrolImages(c)
	if err != nil {
		return err
	}
	e, err := a.Verifier.Enrol(c.ctx(), verify.EnrolRequest{
		Cause: c.cause(), Merchant: c.Merchant, Person: id, Images: images, Source: "cli", Add: add,
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success     bool           `json:"success"`
		UserID      store.PersonID `json:"userId"`
		Faces       int            `json:"faces"`
		Images      int            `json:"images"` // that the template is made of
		Warnings    []string       `json:"warnings,omitempty"`
		DuplicateOf store.PersonID `json:"possibleDuplicateOf,omitempty"`
	}{true, id, e.Faces, e.Crops, e.Warnings, e.PossibleDuplicateOf})
}

func (a *API) enrolImages(c *call) (images []image.Image, add bool, err error) {
	if web.MediaType(c.r.Header.Get("Content-Type")) != "multipart/form-data" {
		img, err := a.cameraImage(c)
		return []image.Image{img}, false, err
	}
	form, err := web.ReadForm(c.r, "image", MaxImage, maxEnrolForm)
	if err != nil {
		return nil, false, err
	}
	for i, f := range form.Files {
		img, err := decode(f.Data)
		if err != nil {
			if e, ok := pictureProblem(err).(*web.Error); ok {
				return nil, false, web.Fail(e.Status, "image %d: %s", i+1, e.Message).Because(err)
			}
			return nil, false, err
		}
		images = append(images, img)
	}
	return images, form.Fields["add"] == "true", nil
}

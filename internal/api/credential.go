package api

import (
	"encoding/base64"
	"image"
	"net/http"
	"slices"
	"time"

	"github.com/cypherface/edge/internal/rights"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/internal/web"
	"github.com/cypherface/edge/store"
)

// credential is one as the API shows it: nothing of what opens.
type credential struct {
	CredentialID store.CredentialID   `json:"credentialId"`
	Type         store.CredentialType `json:"type"`
	Label        string               `json:"label,omitempty"`
	CreatedAt    time.Time            `json:"createdAt"`
	ExpiresAt    time.Time            `json:"expiresAt,omitzero"`
	LastUsedAt   time.Time            `json:"lastUsedAt,omitzero"` // true to the day
	LockedUntil  time.Time            `json:"lockedUntil,omitzero"`
}

func toCredential(c *store.Credential) credential {
	return credential{c.ID, c.Type, c.Label, c.Created, c.Expires, c.LastUsed, c.Locked}
}

// giveCredential is POST /users/{userId}/credentials/.
func (a *API) giveCredential(c *call) error {
	var in struct {
		Type      store.CredentialType `json:"type"`
		Value     string               `json:"value"`
		Label     string               `json:"label"`
		ExpiresAt time.Time            `json:"expiresAt"`
	}
	if err := web.DecodeStrict(c.r, &in, 0); err != nil {
		return err
	}
	var given *store.Credential
	var value string
	err := a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err != nil {
			return err
		}
		given, value, err = rights.GiveCredential(tx, rights.NewCredential{
			Merchant: c.Merchant, Person: p.ID, Type: in.Type, Value: in.Value, Label: in.Label, Expires: in.ExpiresAt,
		})
		return err
	})
	if err != nil {
		return err
	}
	out := struct {
		Success    bool       `json:"success"`
		Credential credential `json:"credential"`
		Value      string     `json:"value,omitempty"` // of a code: shown this once
	}{Success: true, Credential: toCredential(given)}
	if given.Type == store.CredentialQR {
		out.Value = value
	}
	return c.reply(http.StatusCreated, out)
}

// listCredentials is GET /users/{userId}/credentials/.
func (a *API) listCredentials(c *call) error {
	var list []credential
	err := a.store.View(c.ctx(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err == nil {
			list, err = collect(tx, store.CredentialsByPerson, store.Plain(p.ID), toCredential)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success     bool         `json:"success"`
		Credentials []credential `json:"credentials"`
	}{true, list})
}

// changeCredential runs fn on the credential that the path names.
func (a *API) changeCredential(c *call, fn func(*store.Tx, *store.Credential) error) error {
	id, err := store.ParseID[store.CredentialID](c.r.PathValue("credentialId"))
	if err != nil {
		return badID("credentialId")
	}
	var cred store.Credential
	err = a.store.Update(c.ctx(), c.cause(), func(tx *store.Tx) error {
		p, err := c.one(tx)
		if err == nil {
			cred, err = rights.CredentialOf(tx, c.Merchant, p.ID, id)
		}
		if err != nil {
			return err
		}
		return fn(tx, &cred)
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, struct {
		Success    bool       `json:"success"`
		Credential credential `json:"credential"`
	}{true, toCredential(&cred)})
}

// revokeCredential is DELETE /users/{userId}/credentials/{credentialId}/.
func (a *API) revokeCredential(c *call) error {
	return a.changeCredential(c, func(tx *store.Tx, cred *store.Credential) error { return store.Delete[store.Credential](tx, cred.ID) })
}

// unlockCredential is POST /users/{userId}/credentials/{credentialId}/unlock/.
func (a *API) unlockCredential(c *call) error {
	return a.changeCredential(c, rights.Unlock)
}

// shownCredential is what somebody shows.
type shownCredential struct {
	Type       store.CredentialType `json:"type"`
	Value      string               `json:"value"`
	UserID     string               `json:"userId"`
	ExternalID string               `json:"externalId"`
	DoorID     string               `json:"doorId"`
	ImageData  string               `json:"imageData"`
	SessionID  string               `json:"sessionId"` // of liveness, in the place of a picture
}

// beside is what may be shown beside a credential: where, and a face.
type beside struct {
	door    store.DoorID
	image   image.Image
	session store.SessionID
}

// check says what is wrong with it, but never whether it is good.
func (in *shownCredential) check() (s rights.Shown, with beside, err error) {
	bad := web.Fail(http.StatusBadRequest, "the credential is not well formed")
	if !slices.Contains([]store.CredentialType{store.CredentialPIN, store.CredentialCard, store.CredentialQR}, in.Type) {
		bad.Field("type", "must be pin, card or qr")
	}
	if in.Value == "" || len(in.Value) > 200 {
		bad.Field("value", "is required, with at most 200 bytes")
	}
	s = rights.Shown{Type: in.Type, Value: in.Value, ExternalID: in.ExternalID}
	switch named := in.UserID != "" || in.ExternalID != ""; {
	case in.Type == store.CredentialPIN && (!named || in.UserID != "" && in.ExternalID != ""):
		bad.Field("userId", "a PIN goes with the userId or externalId of whose it is")
	case in.Type != store.CredentialPIN && named:
		bad.Field("userId", "goes with a PIN alone")
	case in.UserID != "":
		if s.Person, err = store.ParseID[store.PersonID](in.UserID); err != nil {
			bad.Field("userId", "must be 24 lower-case hex digits")
		}
	}
	if in.DoorID != "" {
		if with.door, err = store.ParseID[store.DoorID](in.DoorID); err != nil {
			bad.Field("doorId", "must be 24 lower-case hex digits")
		}
	}
	if in.SessionID != "" {
		if with.session, err = store.ParseUUID[store.SessionID](in.SessionID); err != nil {
			bad.Field("sessionId", "must be a UUID")
		}
		if in.ImageData != "" {
			bad.Field("sessionId", "stands in the place of imageData")
		}
	}
	if bad.Details != nil {
		return s, with, bad
	}
	if in.ImageData == "" {
		return s, with, nil
	}
	raw, err := base64.StdEncoding.DecodeString(in.ImageData)
	if err != nil {
		return s, with, bad.Field("imageData", "must be base64")
	}
	with.image, err = decode(raw)
	return s, with, err
}

// credentialVerdict is the answer about a credential. What is wrong with one that is
// not good is in the journal alone: an unknown card, a wrong PIN and a locked one
// look alike.
type credentialVerdict struct {
	Success    bool           `json:"success"`
	Verified   bool           `json:"verified"`
	UserID     store.PersonID `json:"userId,omitempty"`
	Granted    *bool          `json:"granted,omitempty"` // with a door
	Reasons    []string       `json:"reasons,omitempty"` // why a good one is not let in
	FaceMatch  *bool          `json:"faceMatch,omitempty"`
	Live       *bool          `json:"livenessSuccess,omitempty"` // with a session
	Similarity float64        `json:"similarity,omitempty"`
	Message    string         `json:"message"`
	RequestID  string         `json:"requestId"`
}

// verifyCredential is POST /credential/verify/: somebody shows a PIN, card or code,
// before a door or not, alone or with his face beside it.
func (a *API) verifyCredential(c *call) error {
	var in shownCredential
	if err := web.DecodeStrict(c.r, &in, maxBase64); err != nil {
		return err
	}
	shown, with, err := in.check()
	if err != nil {
		return err
	}
	shown.Merchant = c.Merchant
	name := string(c.Merchant) + " " + c.Actor.ID
	if wait := a.guesses.Wait(name); wait > 0 {
		return web.TooMany(c.w, wait)
	}
	v := credentialVerdict{Success: true, RequestID: web.RequestID(c.ctx()), Message: "Credential not accepted."}
	known, err := a.knownBy(c, shown, with.door)
	if err != nil {
		return err
	}
	if known.Refused != "" {
		_ = a.guesses.Take(c.w, name) // counts: it was free
		return c.reply(http.StatusOK, v)
	}
	v.Verified, v.UserID, v.Message = true, known.Person.ID, "Credential accepted."
	face, err := a.faceBeside(c, &v, with)
	if err != nil {
		return err
	}
	if with.door != "" {
		if err := a.admit(c, &v, face, with.door); err != nil {
			return err
		}
	} else if v.FaceMatch != nil && !*v.FaceMatch {
		v.Verified, v.Message, v.Reasons = false, "Credential accepted, and the face is another.", face.reasons
		if v.Live != nil && !*v.Live {
			v.Message = "Credential accepted, and nobody alive was seen."
		}
	}
	return c.reply(http.StatusOK, v)
}

// shownFace is what became of the face beside a credential.
type shownFace struct {
	life    store.DoorLiveness // what was shown of it, as a door asks for it
	reasons []string           // what a session missed
}

// faceBeside compares the face that is shown beside a credential, if one is, with that
// of whom it belongs to: one that does not match is told, the credential was good.
func (a *API) faceBeside(c *call, v *credentialVerdict, with beside) (face shownFace, err error) {
	face.life = store.LivenessOff
	switch {
	case with.image != nil:
		r, err := a.Verifier.Verify(c.ctx(), verify.VerifyRequest{Cause: c.cause(), Merchant: c.Merchant, Person: v.UserID, Image: with.image})
		if err != nil {
			return face, err
		}
		v.FaceMatch, v.Similarity = &r.Match, round(r.Similarity)
	case with.session != "":
		s, r, err := a.decide(c, with.session, v.UserID)
		if err != nil {
			return face, err
		}
		v.FaceMatch, v.Similarity, v.Live, face.reasons = &r.Match, round(r.Similarity), &r.Live, r.Reasons
		if r.Live {
			face.life = store.LivenessPassive
			if s.Mode == store.ModeActive {
				face.life = store.LivenessActive
			}
		}
	}
	return face, nil
}

// suffices says whether what was shown of life is what a door asks for, or more.
func (f shownFace) suffices(asked store.DoorLiveness) bool {
	return asked == store.LivenessOff || f.life == asked || f.life == store.LivenessActive
}

// knownBy finds out whose a credential is, and notes one that is not good.
func (a *API) knownBy(c *call, shown rights.Shown, door store.DoorID) (known rights.Known, err error) {
	cause := c.cause()
	cause.Essential = true // a decision
	err = a.store.Update(c.ctx(), cause, func(tx *store.Tx) error {
		e := store.Event{Kind: store.EventDecision, Merchant: c.Merchant, Action: "credential", Outcome: store.OutcomeMatch, Reasons: []string{string(shown.Type)}}
		if door != "" {
			d, err := store.GetOf[store.Door](tx, c.Merchant, door)
			if err != nil {
				return err
			}
			e.Door, e.Site = d.ID, d.Site
		}
		if known, err = rights.CheckCredential(tx, shown); err != nil {
			return err
		}
		if known.Refused == "" && door != "" {
			return nil // the decision at the door is the event
		}
		e.Person = known.Person.ID
		if known.Refused != "" {
			e.Outcome, e.Reasons = store.OutcomeNoMatch, append(e.Reasons, known.Refused)
		}
		_, err = store.Append(tx, e, nil)
		return err
	})
	return known, err
}

// admit decides whether the person whose credential was good may pass a door now: by
// the grants, as for a face, and where the door wants the face besides, by that and by
// the proof of life that it asks for. Who has no face enrolled, since he declined,
// passes by the credential alone.
func (a *API) admit(c *call, v *credentialVerdict, face shownFace, id store.DoorID) error {
	cause := c.cause()
	cause.Essential = true
	granted := false
	v.Granted = &granted
	err := a.store.Update(c.ctx(), cause, func(tx *store.Tx) error {
		d, err := store.GetOf[store.Door](tx, c.Merchant, id)
		if err != nil {
			return err
		}
		p, err := store.GetOf[store.Person](tx, c.Merchant, v.UserID)
		if err != nil {
			return err
		}
		refusal, err := verify.Admission(tx, d, p.ID)
		if err != nil {
			return err
		}
		v.Reasons = nil
		switch {
		case refusal != "":
			v.Reasons = []string{refusal}
		case v.Live != nil && !*v.Live:
			v.Reasons = append([]string{verify.ReasonNoLiveness}, face.reasons...)
		case v.FaceMatch != nil && !*v.FaceMatch:
			v.Reasons = []string{verify.ReasonUnknown}
		case !d.Policy.SecondFactor || p.Status != store.PersonEnrolled: // the credential suffices
		case v.FaceMatch == nil:
			v.Reasons = []string{reasonFaceWanted}
		case !face.suffices(d.Policy.Asks()):
			v.Reasons = []string{verify.ReasonNoLiveness}
		}
		granted = len(v.Reasons) == 0
		e := store.Event{Kind: store.EventDecision, Merchant: c.Merchant, Site: d.Site, Door: d.ID, Person: p.ID, Action: "credential", Outcome: store.OutcomeGranted, Reasons: v.Reasons}
		if !granted {
			e.Outcome = store.OutcomeDenied
		}
		if v.FaceMatch != nil {
			e.Counters = map[string]float64{"similarity": v.Similarity}
		}
		_, err = store.Append(tx, e, nil)
		return err
	})
	if granted {
		v.Message = "Granted."
	} else {
		v.Message = "Not granted."
	}
	return err
}

// reasonFaceWanted says that a door wants the face beside the credential.
const reasonFaceWanted = "face_wanted"

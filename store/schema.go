package store

// Kind names a sort of record.
type Kind string

const (
	KindMerchant Kind = "merchant"
	KindAccount  Kind = "account"
	KindKey      Kind = "key"
	KindSecret   Kind = "secret"
	KindSite     Kind = "site"
	KindDoor     Kind = "door"
	KindGrant    Kind = "grant"
	KindDevice   Kind = "device"
	KindPerson   Kind = "person"
	KindCrop     Kind = "crop"
	KindTemplate Kind = "template"
	KindTicket   Kind = "ticket"
	KindImage    Kind = "image"
	KindReview   Kind = "review"
	KindSession  Kind = "session"
	KindEvent    Kind = "event"
	KindRetired  Kind = "retired"
	KindPeriod   Kind = "period"

	KindMigration Kind = "migration"

	KindLink        Kind = "link"
	KindPending     Kind = "pending"
	KindBox         Kind = "box"
	KindForeign     Kind = "foreign"
	KindCode        Kind = "code"
	KindLock        Kind = "lock"
	KindLetter      Kind = "letter"
	KindConsentText Kind = "consent-text"
	KindConsent     Kind = "consent"
	KindSighting    Kind = "sighting"
	KindCredential  Kind = "credential"
	KindCandidate   Kind = "candidate"
	KindFormer      Kind = "former"
	KindBulk        Kind = "bulk"
	KindBulkItem    Kind = "bulk_item"
	KindClaim       Kind = "claim"
)

// The indexes, with the terms that a Query may give: each comment names them in
// their order. "created" is a Moment; where times are equal the id decides.
var (
	Merchants          = Index[Merchant]{name: "merchants"}                           // created
	AccountsByMerchant = Index[Account]{name: "accounts-merchant"}                    // merchant, created
	AccountByEmail     = Index[Account]{name: "account-email", unique: "email"}       // Email
	KeysByMerchant     = Index[Key]{name: "keys-merchant"}                            // merchant, created
	KeyByHash          = Index[Key]{name: "key-hash", unique: "hash"}                 // string(Hash)
	KeysByAccount      = Index[Key]{name: "keys-account"}                             // account, created; logins alone
	LoginsByExpiry     = Index[Key]{name: "logins-expiry"}                            // expires; logins alone
	CodeByToken        = Index[Code]{name: "code-token", unique: "token"}             // string(Token)
	CodesByAccount     = Index[Code]{name: "codes-account"}                           // account, use; only those of an account
	CodesByMerchant    = Index[Code]{name: "codes-merchant"}                          // merchant, use, created; only those of a merchant
	CodesByExpiry      = Index[Code]{name: "codes-expiry"}                            // expires
	LocksByExpiry      = Index[Lock]{name: "locks-expiry"}                            // expires
	LettersByTurn      = Index[Letter]{name: "letters-turn"}                          // next, created
	LettersByReader    = Index[Letter]{name: "letters-reader"}                        // account, or code where there is none
	LettersByExpiry    = Index[Letter]{name: "letters-expiry"}                        // expires
	SitesByMerchant    = Index[Site]{name: "sites-merchant"}                          // merchant, created
	DoorsByMerchant    = Index[Door]{name: "doors-merchant"}                          // merchant, created
	DoorsBySite        = Index[Door]{name: "doors-site"}                              // site, created
	GrantsByPerson     = Index[Grant]{name: "grants-person"}                          // person, door
	GrantsByDoor       = Index[Grant]{name: "grants-door"}                            // door, person
	DevicesByMerchant  = Index[Device]{name: "devices-merchant"}                      // merchant, created
	PersonsByMerchant  = Index[Person]{name: "persons-merchant"}                      // merchant, created
	PersonByEmail      = Index[Person]{name: "person-email", unique: "email"}         // merchant, Email
	PersonByExternalID = Index[Person]{name: "person-external", unique: "externalId"} // merchant, Hidden(externalId)
	CropsByPerson      = Index[Crop]{name: "crops-person"}                            // person, created
	TemplatesBySpace   = Index[Template]{name: "templates-space"}                     // merchant, space
	TemplatesByPerson  = Index[Template]{name: "templates-person"}                    // person
	TicketsByExpiry    = Index[Ticket]{name: "tickets-expiry"}                        // expires
	TicketsByPerson    = Index[Ticket]{name: "tickets-person"}                        // person, created
	ImagesByPerson     = Index[Image]{name: "images-person"}                          // person, purpose, created
	ImagesByExpiry     = Index[Image]{name: "images-expiry"}                          // expires; only those that expire
	ReviewsByMerchant  = Index[Review]{name: "reviews-merchant"}                      // merchant, "open" or "settled", created
	ReviewsByPerson    = Index[Review]{name: "reviews-person"}                        // person
	SessionsByExpiry   = Index[Session]{name: "sessions-expiry"}                      // expires
	RetiredByExpiry    = Index[Retired]{name: "retired-expiry"}                       // expires
	SessionsByPerson   = Index[Session]{name: "sessions-person"}                      // person, created
	EventsByMerchant   = Index[Event]{name: "events-merchant"}                        // merchant, kind, time
	EventsByPerson     = Index[Event]{name: "events-person"}                          // person, time
	ClaimsByMerchant   = Index[Claim]{name: "claims-merchant"}                        // merchant, created
	ForeignByMerchant  = Index[Foreign]{name: "foreign-merchant"}                     // merchant, kind, time
	ForeignByPerson    = Index[Foreign]{name: "foreign-person"}                       // person, time
	BulksByMerchant    = Index[Bulk]{name: "bulks-merchant"}                          // merchant, created
	BulkItemsByBulk    = Index[BulkItem]{name: "bulk-items-bulk"}                     // bulk, Number(number)
	BulkItemsByPerson  = Index[BulkItem]{name: "bulk-items-person"}                   // person
	BulkItemsByContent = Index[BulkItem]{name: "bulk-items-content"}                  // merchant, Hidden(content)
	Periods            = Index[Period]{name: "periods"}                               // Number(epoch), Number(from)

	ConsentTextsByMerchant = Index[ConsentText]{name: "consent-texts-merchant"}                  // merchant, created
	ConsentTextByVersion   = Index[ConsentText]{name: "consent-text-version", unique: "version"} // merchant, version, language
	ConsentsByPerson       = Index[Consent]{name: "consents-person"}                             // person, created
	ConsentsByText         = Index[Consent]{name: "consents-text"}                               // text, created
	SightingsByPerson      = Index[Sighting]{name: "sightings-person"}                           // person
	CredentialsByPerson    = Index[Credential]{name: "credentials-person"}                       // person, created
	CredentialByHash       = Index[Credential]{name: "credential-hash", unique: "value"}         // merchant, string(Hash); not of PINs
	CandidatesByPerson     = Index[Candidate]{name: "candidates-person"}                         // person, created
	CandidatesByExpiry     = Index[Candidate]{name: "candidates-expiry"}                         // expires
	FormersByPerson        = Index[Former]{name: "formers-person"}                               // person
)

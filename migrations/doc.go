// Package migrations is walwire's reference schema: companies, branches,
// staff, clients, appointments and notifications, with the indexes that live
// queries need, full replica identity and the publication "walwire".
//
// It is for `walwire dev`, for tests, and for who starts from nothing. walwire
// itself needs no migration of its own in somebody's existing database: there,
// the config maps the tables that are there, and `walwire check` prints what
// is missing.
//
// Up applies the SQL files of this directory, each in one transaction, by
// goose, whose record is the table walwire_migrations. It never touches a
// database that has tables of these names from elsewhere. Role makes the
// server's role, SchedulesRole that of its schedules, each with no more than it needs.
package migrations

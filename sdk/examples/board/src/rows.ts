import type { Row } from "walwire";

// What the board shows. A role may see less: then a column is not there.

export interface Appointment extends Row {
  readonly id: string;
  readonly staff_id: string | null;
  readonly client_id: string | null;
  readonly service_type: string;
  readonly status: "pending" | "confirmed" | "checked_in" | "in_progress" | "completed" | "cancelled" | "no_show";
  readonly starts_at: string;
  readonly ends_at: string;
  readonly notes: string | null;
  readonly internal_notes: string | null;
  readonly price: string | null;
}

export interface Staff extends Row {
  readonly id: string;
  readonly name: string;
  readonly status: "available" | "busy" | "on_break" | "off";
}

export interface Customer extends Row {
  readonly id: string;
  readonly name: string;
  readonly checked_in_at: string | null;
  readonly checked_out_at: string | null;
}

export interface Notification extends Row {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly body: string;
  readonly read_at: string | null;
  readonly created_at: string;
}

-- What calls counted in the fleet's quota, and which counts their endings gave back.

ALTER TABLE decided ADD COLUMN leased VARCHAR DEFAULT '';
ALTER TABLE completed ADD COLUMN refunded VARCHAR[] DEFAULT []::VARCHAR[];
